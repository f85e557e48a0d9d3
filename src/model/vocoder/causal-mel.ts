/**
 * The log-mel that bandwidth extension listens to (spec §4.3): causal, short windows, and with its Fourier and mel bases stored in the checkpoint.
 * Not the front end's log-mel, which is centred and has windows twice as long.
 */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { conv1d } from '../../engine/convolution.ts'
import type { BandwidthExtensionConfig } from '../config.ts'
import { silentEdges } from './edges.ts'

export type CausalMel = {
  hop: number
  /** The Fourier basis as convolution kernels `[window, 1, bins]`. */
  real: tf.Tensor3D
  imaginary: tf.Tensor3D
  /** `[bins, melBins]`. */
  filterbank: tf.Tensor2D
}

/** Both bases are stored with the output first, the real half of the Fourier basis above the imaginary one. */
export function loadCausalMel(weights: Weights, config: BandwidthExtensionConfig): CausalMel {
  const { hop_length: hop, n_fft: window, num_mels: melBins } = config
  const bins = window / 2 + 1
  return tf.tidy(() => {
    const fourier = tf.tensor2d(weights.float32('stft_fn.forward_basis', [2 * bins, 1, window]), [2 * bins, window])
    const kernels = tf.split(tf.expandDims<tf.Tensor3D>(tf.transpose(fourier), 1), 2, 2) as [tf.Tensor3D, tf.Tensor3D]
    const filterbank = tf.transpose(tf.tensor2d(weights.float32('mel_basis', [melBins, bins]), [melBins, bins]))
    return { hop, real: tf.keep(kernels[0]), imaginary: tf.keep(kernels[1]), filterbank: tf.keep(filterbank) }
  })
}

/** `[B, N, 2] → [B, 2, N / hop, melBins]`. A frame hears the window that ends with its own hop. */
export function causalMel({ hop, real, imaginary, filterbank }: CausalMel, x: tf.Tensor3D): tf.Tensor4D {
  const [batch, length, channels] = x.shape
  const window = real.shape[0]
  return tf.tidy(() => {
    const mono = tf.reshape(tf.transpose(x, [0, 2, 1]), [batch * channels, length, 1]) as tf.Tensor3D
    const late = silentEdges(mono, window - hop, 0)
    const power = tf.add(tf.square(conv1d(late, real, hop)), tf.square(conv1d(late, imaginary, hop)))
    const magnitude = tf.reshape(tf.sqrt(power), [-1, real.shape[2]])
    const mel = tf.log(tf.maximum(tf.matMul(magnitude as tf.Tensor2D, filterbank), 1e-5))
    return tf.reshape(mel, [batch, channels, length / hop, filterbank.shape[1]])
  })
}
