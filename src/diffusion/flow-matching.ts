/**
 * Rectified flow, the mathematics that training and previews share (spec §6.7, §7.2, §9.2). Latents lie on a straight line between clean
 * (sigma 0) and noise (sigma 1); the model predicts the line's direction, the velocity.
 */
import * as tf from '@tensorflow/tfjs'
import type { Random } from '../platform/random.ts'

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

/** The noise levels that training draws and that previews walk (spec §7.3, §9.1). */

const epsilon = 1e-3
const uniformShare = 0.1

/** Both shifts lie on the line through 1024 tokens → 0.95 and 4096 tokens → 2.05, beyond its ends too. */
const shiftFor = (tokens: number) => 0.95 + ((tokens - 1024) * (2.05 - 0.95)) / (4096 - 1024)

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

/** One training sigma for a target of `tokens` latent frames; the reference does not count. */
export const drawSigma = (random: Random, tokens: number) =>
  sigmaFrom({ normal: random.normal(), uniform: random.uniform(), mixture: random.uniform() }, tokens)

/** Shifted logit-normal, stretched so that its 0.5 % and 99.9 % quantiles become 0 and 1; a tenth of the draws is uniform. */
export function sigmaFrom(draw: { normal: number; uniform: number; mixture: number }, tokens: number): number {
  if (draw.mixture <= uniformShare) return (1 - epsilon) * draw.uniform + epsilon
  const shift = shiftFor(tokens)
  const low = sigmoid(shift - 2.5758)
  const high = sigmoid(shift + 3.0902)
  const stretched = (sigmoid(shift + draw.normal) - low) / (high - low)
  const reflected = stretched < epsilon ? 2 * epsilon - stretched : stretched
  return Math.min(Math.max(reflected, 0), 1)
}

const lastSigma = 0.1

/** The sigmas of a preview of `steps` steps: steps + 1 values from 1 over 0.1 to 0. The shift is that of 4096 tokens, whatever the length. */
export function sigmaSchedule(steps: number): number[] {
  const shifted = (t: number) => Math.exp(2.05) / (Math.exp(2.05) + (1 / t - 1))
  const stretch = (1 - shifted(1 / steps)) / (1 - lastSigma)
  const noisy = Array.from({ length: steps - 1 }, (_, k) => 1 - (1 - shifted(1 - k / steps)) / stretch)
  return [...noisy, lastSigma, 0]
}
