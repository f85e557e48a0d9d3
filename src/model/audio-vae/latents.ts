/** Latents as the transformer's tokens: one per latent frame, its features channel-major, c · F + f (spec §3.5). */
import * as tf from '@tensorflow/tfjs'
import { melFrameCount } from '../../audio/mel.ts'
import type { AudioVaeConfig } from '../config.ts'
import type { Weights } from '../weights.ts'

/** `[B, C, T, F] → [B, T, C·F]`. */
export function patchify(latents: tf.Tensor4D): tf.Tensor3D {
  const [batch, channels, frames, bins] = latents.shape
  return tf.tidy(() => tf.reshape(tf.transpose(latents, [0, 2, 1, 3]), [batch, frames, channels * bins]))
}

/** `[B, T, C·F] → [B, C, T, F]`. */
export function unpatchify(patches: tf.Tensor3D, channels: number): tf.Tensor4D {
  const [batch, frames, width] = patches.shape
  return tf.tidy(() =>
    tf.transpose(tf.reshape<tf.Rank.R4>(patches, [batch, frames, channels, width / channels]), [0, 2, 1, 3]),
  )
}

const sampleRate = 16_000
const samplesPerMelFrame = 160
const melFramesPerLatent = 4
const latentsPerSecond = sampleRate / samplesPerMelFrame / melFramesPerLatent

/** The number of latent frames that the encoder makes of a log-mel: `T = ceil(M / 4)`, because each of its two downsampling layers rounds up. */
export const latentFrames = (melFrames: number) => Math.ceil(melFrames / melFramesPerLatent)

/**
 * The number of latent frames of an encoded clip of `seconds`: 126 for 5 s. Mel frames are centered, so `S` samples have `M = 1 + floor(S / 160)`
 * of them, and the frame at the very end of the clip usually starts one more latent frame than `25 · seconds`. A target that is generated has no
 * samples to begin with and gets `targetLatentFrames` (reference §3.4).
 */
export const clipLatentFrames = (seconds: number) =>
  latentFrames(melFrameCount(Math.floor(seconds * sampleRate), samplesPerMelFrame))

/**
 * The number of latent frames to generate for a target of `seconds`: `25 · seconds`, rounded half to even as the reference implementation rounds;
 * 125 for 5 s. An encoded clip of the same length has `clipLatentFrames`, mostly one more (reference §3.4).
 */
export function targetLatentFrames(seconds: number): number {
  const exact = seconds * latentsPerSecond
  const below = Math.floor(exact)
  if (exact - below !== 0.5) return Math.round(exact)
  return below % 2 === 0 ? below : below + 1
}

/**
 * The latents' mean and spread per channel and bin (spec §3.2 step 8, §14). There are z_channels × latent bins of them; that this equals the
 * released model's base width is a coincidence.
 */

/** Both `[F, C]`, to lie over channels-last latents. */
export type LatentStatistics = { mean: tf.Tensor2D; std: tf.Tensor2D }

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

/** `[B, T, F, C] → [B, T, F, C]` with mean 0 and deviation 1 over the reference's training data. */
export const normalizeLatents = ({ mean, std: deviation }: LatentStatistics, latents: tf.Tensor4D): tf.Tensor4D =>
  tf.div(tf.sub(latents, mean), deviation)

export const denormalizeLatents = ({ mean, std: deviation }: LatentStatistics, latents: tf.Tensor4D): tf.Tensor4D =>
  tf.add(tf.mul(latents, deviation), mean)
