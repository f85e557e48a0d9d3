/** Spectra as TensorFlow computes them, differentiable: what the vocoder is told and what it is judged by. */
import * as tf from '@tensorflow/tfjs'
import { hannWindow, melFilterbank } from '../../src/audio/mel.ts'
import { modelRate } from './corpus.ts'

const floor = 1e-5

export type Spectrum = { nFft: number; hop: number; kernels: tf.Tensor3D }

/** Cosines and sines under a Hann window, as convolution kernels `[nFft, 1, 2 · bins]`. */
export function spectrum(nFft: number, hop: number): Spectrum {
  const bins = nFft / 2 + 1
  const window = hannWindow(nFft)
  const values = new Float32Array(nFft * 2 * bins)
  for (let n = 0; n < nFft; n++)
    for (let bin = 0; bin < bins; bin++) {
      const angle = (2 * Math.PI * ((bin * n) % nFft)) / nFft
      values[n * 2 * bins + bin] = (window[n] as number) * Math.cos(angle)
      values[n * 2 * bins + bins + bin] = (window[n] as number) * -Math.sin(angle)
    }
  return { nFft, hop, kernels: tf.keep(tf.tensor3d(values, [nFft, 1, 2 * bins])) }
}

/** `[B, N] → [B, 1 + N / hop, bins]`; frames are centred, edges reflected. */
export function magnitudes({ nFft, hop, kernels }: Spectrum, x: tf.Tensor2D): tf.Tensor3D {
  const padded = tf.mirrorPad(x, [[0, 0], [nFft / 2, nFft / 2]], 'reflect') // biome-ignore format: pairs
  const both = tf.conv1d(tf.expandDims<tf.Tensor3D>(padded, 2), kernels, hop, 'valid')
  const [real, imaginary] = tf.split(both, 2, 2) as [tf.Tensor3D, tf.Tensor3D]
  return tf.sqrt(tf.add(tf.add(tf.square(real), tf.square(imaginary)), 1e-12))
}

/** The front end's log-mel of many channels: `[B, N] → [B, M, 64]`. */
export function melOf(): (x: tf.Tensor2D) => tf.Tensor3D {
  const options = { sampleRate: modelRate, nFft: 1024, hop: 160, melBins: 64 }
  const fine = spectrum(options.nFft, options.hop)
  const bank = tf.keep(tf.tensor2d(Float32Array.from(melFilterbank(options)), [options.nFft / 2 + 1, options.melBins]))
  return (x) => {
    const linear = magnitudes(fine, x)
    const [batch, frames, bins] = linear.shape
    const mel = tf.matMul(tf.reshape(linear, [batch * frames, bins]), bank)
    return tf.reshape(tf.log(tf.maximum(mel, floor)), [batch, frames, options.melBins])
  }
}
