/**
 * From 16 kHz to 48 kHz (spec §4.3): a second generator listens to the mel of the 16 kHz sound and adds what a plain resampler cannot know, the
 * upper octaves.
 */
import * as tf from '@tensorflow/tfjs'
import { conv1d } from '../../engine/convolution.ts'
import type { BandwidthExtensionConfig } from '../config.ts'
import type { Weights } from '../weights.ts'
import { zeroPad } from './filters.ts'
import { type Generator, generate, loadGenerator, type StageListener } from './generator.ts'
import { type Upsampler, upsample, createSincUpsampler } from './resampling.ts'

export type BandwidthExtension = { mel: CausalMel; generator: Generator; resampler: Upsampler; rate: number }

export function loadBandwidthExtension(weights: Weights, config: BandwidthExtensionConfig): BandwidthExtension {
  const rate = config.output_sampling_rate / config.input_sampling_rate
  const generator = loadGenerator(weights.at('bwe_generator'), config)
  const channels = generator.output.kernel.shape[2]
  return {
    mel: loadCausalMel(weights.at('mel_stft'), config),
    generator,
    resampler: createSincUpsampler(rate, channels),
    rate,
  }
}

/** `[B, N, 2] → [B, rate · N, 2]`, between −1 and 1. */
export function extendBandwidth(
  extension: BandwidthExtension,
  narrow: tf.Tensor3D,
  onStage?: StageListener,
): tf.Tensor3D {
  const { mel, generator, resampler, rate } = extension
  const length = narrow.shape[1]
  return tf.tidy(() => {
    const whole = wholeFrames(narrow, mel.hop)
    const heard = causalMel(mel, whole)
    onStage?.('bwe_mel', heard)
    const residual = generate(generator, heard)
    onStage?.('residual', residual)
    const skip = upsample(resampler, whole)
    onStage?.('skip', skip)
    const wide = tf.clipByValue(tf.add(residual, skip), -1, 1)
    onStage?.('wave48k', wide)
    return tf.slice(wide, [0, 0, 0], [-1, Math.floor(length * rate), -1]) as tf.Tensor3D
  })
}

/** Silence up to the end of the last mel frame. */
const wholeFrames = (x: tf.Tensor3D, hop: number): tf.Tensor3D =>
  zeroPad(x, 0, Math.ceil(x.shape[1] / hop) * hop - x.shape[1])

/**
 * The log-mel that bandwidth extension listens to (spec §4.3): causal, short windows, and with its Fourier and mel bases stored in the checkpoint.
 * Not the front end's log-mel, which is centred and has windows twice as long.
 */

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
    const late = zeroPad(mono, window - hop, 0)
    const power = tf.add(tf.square(conv1d(late, real, hop)), tf.square(conv1d(late, imaginary, hop)))
    const magnitude = tf.reshape(tf.sqrt(power), [-1, real.shape[2]])
    const mel = tf.log(tf.maximum(tf.matMul(magnitude as tf.Tensor2D, filterbank), 1e-5))
    return tf.reshape(mel, [batch, channels, length / hop, filterbank.shape[1]])
  })
}
