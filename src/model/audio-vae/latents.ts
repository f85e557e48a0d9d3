/** Latents: how many frames of them there are, their statistics, and their layout as the tokens of the transformer. */
import * as tf from '@tensorflow/tfjs'
import { melFrameCount } from '../../audio/mel.ts'
import type { AudioVaeConfig } from '../config.ts'
import type { Weights } from '../weights.ts'

const sampleRate = 16_000
const samplesPerMelFrame = 160
const melFramesPerLatent = 4
const latentsPerSecond = sampleRate / samplesPerMelFrame / melFramesPerLatent

/**
 * The number of latent frames of an encoded clip that is `seconds` long, for example 126 for 5 s (reference §3.4).
 *
 * A clip has `S = floor(16000 · seconds)` samples. The mel front end centers its frames on the samples 0, 160, 320, …, so there are
 * `M = 1 + floor(S / 160)` of them, both ends included, and the encoder makes `T = ceil(M / 4)`: in total `floor(25 · seconds) + 1`. A target that
 * is generated has no samples to encode: its length is `targetLatentFrames`.
 */
export const clipLatentFrames = (seconds: number) =>
  latentFrames(melFrameCount(Math.floor(seconds * sampleRate), samplesPerMelFrame))

/**
 * The number of latent frames to generate for a target of `seconds`, for example 125 for 5 s: `25 · seconds`, rounded half to even as the reference
 * implementation rounds (reference §3.4). An encoded clip of the same duration has `clipLatentFrames`, which is the same or one more.
 */
export function targetLatentFrames(seconds: number): number {
  const exact = seconds * latentsPerSecond
  const below = Math.floor(exact)
  if (exact - below !== 0.5) return Math.round(exact)
  return below % 2 === 0 ? below : below + 1
}

/**
 * The number of latent frames whose sound is at least `seconds` long: T frames decode to 4·T − 3 mel frames of 10 ms, so 5 s takes 126 frames, of which
 * the last 10 ms are cut off. The 125 frames of `targetLatentFrames` sound for 4.97 s.
 */
export const coveringLatentFrames = (seconds: number) =>
  Math.ceil(
    (Math.ceil((seconds * sampleRate) / samplesPerMelFrame - 1e-6) + melFramesPerLatent - 1) / melFramesPerLatent,
  )

/** The number of latent frames that the encoder makes of a log-mel: `T = ceil(M / 4)`, because both of its downsampling layers round up. */
export const latentFrames = (melFrames: number) => Math.ceil(melFrames / melFramesPerLatent)

/** Mean and standard deviation of each channel and bin. Both are `[F, C]`, which broadcasts over channels-last latents. */
export type LatentStatistics = { mean: tf.Tensor2D; std: tf.Tensor2D }

/** The checkpoint stores C·F values with the index c·F + f (reference §3.2). */
export function loadStatistics(
  weights: Weights,
  sizes: AudioVaeConfig['model']['params']['ddconfig'],
): LatentStatistics {
  const channels = sizes.z_channels
  const bins = sizes.mel_bins / 2 ** (sizes.ch_mult.length - 1)
  const load = (name: string) =>
    tf.tidy(() => tf.keep(tf.transpose(tf.tensor2d(weights.float32(name, [channels * bins]), [channels, bins]))))
  return { mean: load('mean-of-means'), std: load('std-of-means') }
}

/** (x − mean) / std: `[B, T, F, C] → [B, T, F, C]`. */
export const normalizeLatents = ({ mean, std }: LatentStatistics, latents: tf.Tensor4D): tf.Tensor4D =>
  tf.div(tf.sub(latents, mean), std)

/** x · std + mean: `[B, T, F, C] → [B, T, F, C]`. */
export const denormalizeLatents = ({ mean, std }: LatentStatistics, latents: tf.Tensor4D): tf.Tensor4D =>
  tf.add(tf.mul(latents, std), mean)

/** One token per latent frame, with feature index c·F + f: `[B, C, T, F] → [B, T, C·F]` (reference §3.5). */
export function patchify(latents: tf.Tensor4D): tf.Tensor3D {
  const [batch, channels, frames, bins] = latents.shape
  return tf.tidy(() => tf.reshape(tf.transpose(latents, [0, 2, 1, 3]), [batch, frames, channels * bins]))
}

/** The inverse of `patchify`: `[B, T, C·F] → [B, C, T, F]`. */
export function unpatchify(patches: tf.Tensor3D, channels: number): tf.Tensor4D {
  const [batch, frames, width] = patches.shape
  return tf.tidy(() =>
    tf.transpose(tf.reshape<tf.Rank.R4>(patches, [batch, frames, channels, width / channels]), [0, 2, 1, 3]),
  )
}
