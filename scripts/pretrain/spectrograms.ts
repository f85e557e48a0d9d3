/** Differentiable STFT magnitudes and log-mels in TensorFlow, for the input and the loss of the vocoder. */
import * as tf from '@tensorflow/tfjs'
import { hannWindow, melFilterbank } from '../../src/audio/mel.ts'
import { modelSampleRate } from './clips.ts'

const floor = 1e-5

export type Stft = { nFft: number; hop: number; kernels: tf.Tensor3D }

/** Cosines and negative sines times a Hann window, as convolution kernels `[nFft, 1, 2 · bins]`. */
export function createStft(nFft: number, hop: number): Stft {
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

/** `[B, N] → [B, 1 + N / hop, bins]`; frames are centered, edges are reflected. */
export function magnitudes({ nFft, hop, kernels }: Stft, x: tf.Tensor2D): tf.Tensor3D {
  const padded = tf.mirrorPad(x, [[0, 0], [nFft / 2, nFft / 2]], 'reflect') // biome-ignore format: pairs
  const complex = tf.conv1d(tf.expandDims<tf.Tensor3D>(padded, 2), kernels, hop, 'valid')
  const [real, imaginary] = tf.split(complex, 2, 2) as [tf.Tensor3D, tf.Tensor3D]
  return tf.sqrt(tf.add(tf.add(tf.square(real), tf.square(imaginary)), 1e-12))
}

/** The log-mel of the front end, for a batch of channels: `[B, N] → [B, M, 64]`. */
export function createLogMel(): (x: tf.Tensor2D) => tf.Tensor3D {
  const options = { sampleRate: modelSampleRate, nFft: 1024, hop: 160, melBins: 64 }
  const stft = createStft(options.nFft, options.hop)
  const bank = tf.keep(tf.tensor2d(Float32Array.from(melFilterbank(options)), [options.nFft / 2 + 1, options.melBins]))
  return (x) => {
    const spectrum = magnitudes(stft, x)
    const [batch, frames, bins] = spectrum.shape
    const mel = tf.matMul(tf.reshape(spectrum, [batch * frames, bins]), bank)
    return tf.reshape(tf.log(tf.maximum(mel, floor)), [batch, frames, options.melBins])
  }
}
