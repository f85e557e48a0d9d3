/**
 * From 16 kHz to 48 kHz (spec §4.3): a second generator listens to the mel of the 16 kHz sound and adds what a plain resampler cannot know, the
 * upper octaves.
 */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import type { BandwidthExtensionConfig } from '../config.ts'
import { type CausalMel, causalMel, loadCausalMel } from './causal-mel.ts'
import { silentEdges } from './edges.ts'
import { type Generator, generate, loadGenerator, type StageListener } from './generator.ts'
import { type Interpolator, interpolate } from './interpolation.ts'
import { resampler } from './resampler.ts'

export type BandwidthExtension = { mel: CausalMel; generator: Generator; resampler: Interpolator; rate: number }

export function loadBandwidthExtension(weights: Weights, config: BandwidthExtensionConfig): BandwidthExtension {
  const rate = config.output_sampling_rate / config.input_sampling_rate
  const generator = loadGenerator(weights.at('bwe_generator'), config)
  const channels = generator.output.kernel.shape[2]
  return {
    mel: loadCausalMel(weights.at('mel_stft'), config),
    generator,
    resampler: resampler(rate, channels),
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
    const skip = interpolate(resampler, whole)
    onStage?.('skip', skip)
    const wide = tf.clipByValue(tf.add(residual, skip), -1, 1)
    onStage?.('wave48k', wide)
    return tf.slice(wide, [0, 0, 0], [-1, Math.floor(length * rate), -1]) as tf.Tensor3D
  })
}

/** Silence up to the end of the last mel frame. */
const wholeFrames = (x: tf.Tensor3D, hop: number): tf.Tensor3D =>
  silentEdges(x, 0, Math.ceil(x.shape[1] / hop) * hop - x.shape[1])
