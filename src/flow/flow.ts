/**
 * Rectified flow, the mathematics that training and previews share (spec §6.7, §7.2, §9.2). Latents lie on a straight line between clean
 * (sigma 0) and noise (sigma 1); the model predicts the line's direction, the velocity.
 */
import * as tf from '@tensorflow/tfjs'

/** Where the line stands at sigma. */
export const noisyLatents = <T extends tf.Tensor>(clean: T, noise: T, sigma: tf.Tensor): T =>
  tf.add(tf.mul(tf.sub(1, sigma), clean), tf.mul(sigma, noise))

/** What the model should say there. */
export const velocityTarget = <T extends tf.Tensor>(clean: T, noise: T): T => tf.sub(noise, clean)

/** The clean latents that a velocity at sigma implies. */
export const denoised = <T extends tf.Tensor>(noisy: T, velocity: T, sigma: tf.Tensor): T =>
  tf.sub(noisy, tf.mul(sigma, velocity))

/** One step along the line that leads to `clean`, from sigma down to `next`. */
export const eulerStep = <T extends tf.Tensor>(noisy: T, clean: T, sigma: number, next: number): T =>
  tf.add(noisy, tf.mul(tf.div(tf.sub(noisy, clean), sigma), next - sigma))
