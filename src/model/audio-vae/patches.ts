/** Latents as the transformer's tokens: one per latent frame, its features channel-major, c · F + f (spec §3.5). */
import * as tf from '@tensorflow/tfjs'

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
