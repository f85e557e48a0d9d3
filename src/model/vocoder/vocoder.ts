/**
 * The vocoder (reference §4): one generator makes 16 kHz samples from a log-mel, and bandwidth extension makes 48 kHz of them with a second generator.
 * Everything is computed in float32, because bfloat16 is audibly worse here. Signals inside this folder are channels-last, `[B, N, C]`.
 */
import * as tf from '@tensorflow/tfjs'
import type { Waveform } from '../../audio/waveform.ts'
import { zeroPad } from '../../engine/chunks.ts'
import { conv1d } from '../../engine/convolution.ts'
import { withParameter } from '../../platform/errors.ts'
import type { BandwidthExtensionConfig, VocoderConfig } from '../config.ts'
import type { Weights } from '../weights.ts'
import { clipToFullScale, type Generator, generate, loadGenerator, type StageListener } from './generator.ts'
import { createSincUpsampler, type Upsampler, upsample } from './resampling.ts'

export type Vocoder = { sampleRate: number; generator: Generator; extension: BandwidthExtension }

/**
 * @param weights the component's weights: `weightsOf(file, 'vocoder.')`.
 * @throws UserError when a tensor is missing or its shape does not match the config.
 */
export function loadVocoder(weights: Weights, config: VocoderConfig): Vocoder {
  return withParameter('model', () => ({
    sampleRate: config.bwe.output_sampling_rate,
    generator: loadGenerator(weights.at('vocoder'), config.vocoder),
    extension: loadBandwidthExtension(weights, config.bwe),
  }))
}

/** The samples of the waveform that one mel frame becomes: 480. */
export const samplesPerMelFrame = ({ generator, extension }: Vocoder) =>
  generator.stages.reduce((product, { up }) => product * up.rate, extension.rate)

/** The waveform of one stereo log-mel `[1, 2, M, 64]`: 480 samples per mel frame at 48 kHz, all in [−1, 1]. */
export async function vocode(vocoder: Vocoder, mel: tf.Tensor4D): Promise<Waveform> {
  const channels = tf.tidy(() => tf.unstack(tf.squeeze<tf.Tensor2D>(vocodeBatch(vocoder, mel), [0])))
  const samples = await Promise.all(channels.map((channel) => channel.data<'float32'>()))
  tf.dispose(channels)
  return { sampleRate: vocoder.sampleRate, channels: samples }
}

/**
 * The waveforms of a batch, as a tensor: `[B, 2, M, 64] → [B, 2, N]`. The whole clip is computed in one pass. That takes some gigabytes for 60 s at
 * the released sizes; `vocodeInPieces` takes less.
 * @param onStage called with every intermediate result under its name in the checkpoint; the golden tests compare them.
 */
export function vocodeBatch({ generator, extension }: Vocoder, mel: tf.Tensor4D, onStage?: StageListener): tf.Tensor3D {
  return tf.tidy(() => {
    const lowRate = generate(generator, mel, onStage)
    onStage?.('wave16k', lowRate)
    return tf.transpose(extendBandwidth(extension, lowRate, onStage), [0, 2, 1])
  })
}

export const disposeVocoder = (vocoder: Vocoder) => tf.dispose(vocoder)

/** A plain upsampler, plus a generator that adds the upper octaves from the mel of the 16 kHz signal (reference §4.3). */
type BandwidthExtension = { mel: CausalMel; generator: Generator; upsampler: Upsampler; rate: number }

function loadBandwidthExtension(weights: Weights, config: BandwidthExtensionConfig): BandwidthExtension {
  const rate = config.output_sampling_rate / config.input_sampling_rate
  const generator = loadGenerator(weights.at('bwe_generator'), config)
  const channels = generator.output.kernel.shape[2]
  return {
    mel: loadCausalMel(weights.at('mel_stft'), config),
    generator,
    upsampler: createSincUpsampler(rate, channels),
    rate,
  }
}

/** `[B, N, 2] → [B, rate · N, 2]`, in [−1, 1]. */
function extendBandwidth(extension: BandwidthExtension, lowRate: tf.Tensor3D, onStage?: StageListener): tf.Tensor3D {
  const { mel, generator, upsampler, rate } = extension
  const length = lowRate.shape[1]
  return tf.tidy(() => {
    const padded = zeroPad(lowRate, 0, Math.ceil(length / mel.hop) * mel.hop - length)
    const logMel = causalMel(mel, padded)
    onStage?.('bwe_mel', logMel)
    const residual = generate(generator, logMel)
    onStage?.('residual', residual)
    const skip = upsample(upsampler, padded)
    onStage?.('skip', skip)
    const highRate = clipToFullScale(tf.add(residual, skip))
    onStage?.('wave48k', highRate)
    return tf.slice(highRate, [0, 0, 0], [-1, Math.floor(length * rate), -1]) as tf.Tensor3D
  })
}

/**
 * The log-mel that bandwidth extension uses (reference §4.3). It differs from the front end's: causal, with windows half as long, and with Fourier and
 * mel bases from the checkpoint.
 */
type CausalMel = {
  hop: number
  /** The Fourier basis as convolution kernels `[window, 1, bins]`. */
  real: tf.Tensor3D
  imaginary: tf.Tensor3D
  /** `[bins, melBins]`. */
  filterbank: tf.Tensor2D
}

/** The checkpoint stores both bases with the output axis first, and the real half of the Fourier basis before the imaginary half. */
function loadCausalMel(weights: Weights, config: BandwidthExtensionConfig): CausalMel {
  const { hop_length: hop, n_fft: window, num_mels: melBins } = config
  const bins = window / 2 + 1
  return tf.tidy(() => {
    const fourier = tf.tensor2d(weights.float32('stft_fn.forward_basis', [2 * bins, 1, window]), [2 * bins, window])
    const kernels = tf.split(tf.expandDims<tf.Tensor3D>(tf.transpose(fourier), 1), 2, 2) as [tf.Tensor3D, tf.Tensor3D]
    const filterbank = tf.transpose(tf.tensor2d(weights.float32('mel_basis', [melBins, bins]), [melBins, bins]))
    return { hop, real: tf.keep(kernels[0]), imaginary: tf.keep(kernels[1]), filterbank: tf.keep(filterbank) }
  })
}

/** `[B, N, 2] → [B, 2, N / hop, melBins]`. The window of a frame ends with the hop of that frame. */
function causalMel({ hop, real, imaginary, filterbank }: CausalMel, x: tf.Tensor3D): tf.Tensor4D {
  const [batch, length, channels] = x.shape
  const window = real.shape[0]
  return tf.tidy(() => {
    const mono = tf.reshape(tf.transpose(x, [0, 2, 1]), [batch * channels, length, 1]) as tf.Tensor3D
    const transform = (basis: tf.Tensor3D) => conv1d(mono, basis, { padding: [window - hop, 0], stride: hop })
    const power = tf.add(tf.square(transform(real)), tf.square(transform(imaginary)))
    const magnitude = tf.reshape(tf.sqrt(power), [-1, real.shape[2]])
    const mel = tf.log(tf.maximum(tf.matMul(magnitude as tf.Tensor2D, filterbank), 1e-5))
    return tf.reshape(mel, [batch, channels, length / hop, filterbank.shape[1]])
  })
}
