/** Latents as the transformer's tokens: one per latent frame, its features channel-major, c · F + f (spec §3.5). */
import * as tf from '@tensorflow/tfjs'
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

/** How many latent frames the encoder makes of a log-mel: each of its halvings rounds up. */
export const latentFrames = (melFrames: number, framesPerLatent = 4) => Math.ceil(melFrames / framesPerLatent)

/**
 * The latents' mean and spread per channel and bin (spec §3.2 step 8, §14). There are z_channels × latent bins of them; that this equals the
 * released model's base width is a coincidence.
 */

/** Both `[F, C]`, to lie over channels-last latents. */
export type LatentStatistics = { mean: tf.Tensor2D; deviation: tf.Tensor2D }

export function loadStatistics(
  weights: Weights,
  sizes: AudioVaeConfig['model']['params']['ddconfig'],
): LatentStatistics {
  const channels = sizes.z_channels
  const bins = sizes.mel_bins / 2 ** (sizes.ch_mult.length - 1)
  const load = (name: string) =>
    tf.tidy(() => tf.keep(tf.transpose(tf.tensor2d(weights.float32(name, [channels * bins]), [channels, bins]))))
  return { mean: load('mean-of-means'), deviation: load('std-of-means') }
}

/** `[B, T, F, C] → [B, T, F, C]` with mean 0 and deviation 1 over the reference's training data. */
export const normalise = ({ mean, deviation }: LatentStatistics, latents: tf.Tensor4D): tf.Tensor4D =>
  tf.div(tf.sub(latents, mean), deviation)

export const denormalise = ({ mean, deviation }: LatentStatistics, latents: tf.Tensor4D): tf.Tensor4D =>
  tf.add(tf.mul(latents, deviation), mean)
