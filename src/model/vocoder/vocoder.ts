/**
 * From log-mel to sound (spec §4): a generator makes 16 kHz samples, and bandwidth extension makes 48 kHz of them. All in float32: the reference
 * found that bfloat16 is heard here. Signals inside this folder are channels-last, `[B, N, C]`.
 */
import * as tf from '@tensorflow/tfjs'
import type { ModelConfig } from '../config.ts'
import type { Weights } from '../weights.ts'
import { type BandwidthExtension, extendBandwidth, loadBandwidthExtension } from './bandwidth-extension.ts'
import { type Generator, generate, loadGenerator, type StageListener } from './generator.ts'

export type Vocoder = { sampleRate: number; generator: Generator; extension: BandwidthExtension }

/** Samples between −1 and 1, one array per channel. */
export type VocodedSound = { sampleRate: number; channels: Float32Array[] }

/**
 * @param weights the component's: `weightsOf(file, 'vocoder.')`.
 * @throws UserError when a tensor is missing or its shape is not the config's.
 */
export function loadVocoder(weights: Weights, config: ModelConfig['vocoder']): Vocoder {
  return {
    sampleRate: config.bwe.output_sampling_rate,
    generator: loadGenerator(weights.at('vocoder'), config.vocoder),
    extension: loadBandwidthExtension(weights, config.bwe),
  }
}

/** The sound of one stereo log-mel `[1, 2, M, 64]`: 480 samples at 48 kHz for each of its frames. */
export async function vocode(vocoder: Vocoder, mel: tf.Tensor4D): Promise<VocodedSound> {
  const channels = tf.tidy(() => tf.unstack(tf.squeeze<tf.Tensor2D>(vocodeWaveforms(vocoder, mel), [0])))
  const samples = await Promise.all(channels.map((channel) => channel.data<'float32'>()))
  tf.dispose(channels)
  return { sampleRate: vocoder.sampleRate, channels: samples }
}

/**
 * The same for a batch, as a tensor: `[B, 2, M, 64] → [B, 2, N]`.
 * @param onStage hears the stages on the way, named as in the checkpoint: what the golden tests compare.
 */
export function vocodeWaveforms(
  { generator, extension }: Vocoder,
  mel: tf.Tensor4D,
  onStage?: StageListener,
): tf.Tensor3D {
  // One pass over the whole clip. Sixty seconds at the released widths take some gigabytes here (spec §4.6): both generators hear only a few
  // hundred milliseconds, so this is the place to cut a longer mel into overlapping pieces and join their middles.
  return tf.tidy(() => {
    const narrow = generate(generator, mel, onStage)
    onStage?.('wave16k', narrow)
    return tf.transpose(extendBandwidth(extension, narrow, onStage), [0, 2, 1])
  })
}

export const disposeVocoder = (vocoder: Vocoder) => tf.dispose(vocoder)
