/**
 * Rectified flow: the formulas that training and previews share, and the training objective (reference §6.7, §7.2, §7.3, §9.1, §9.2). Sigma is the noise
 * level: clean latents have sigma 0, pure noise has sigma 1.
 *
 *   x_σ = (1 − σ)·x₀ + σ·ε     latents with noise
 *   v = ε − x₀                 velocity, which the model predicts
 *   x₀ = x_σ − σ·v             clean latents
 */
import * as tf from '@tensorflow/tfjs'
import { frameCenterSeconds, type RopeTable } from '../model/rope.ts'
import { type Transformer, type TransformerInput, tokenRope, velocity } from '../model/transformer/transformer.ts'
import type { Random } from '../platform/random.ts'

/** x_σ = (1 − σ)·x₀ + σ·ε */
export const noisyLatents = <T extends tf.Tensor>(clean: T, noise: T, sigma: tf.Tensor): T =>
  tf.add(tf.mul(tf.sub(1, sigma), clean), tf.mul(sigma, noise))

/** v = ε − x₀ */
export const velocityTarget = <T extends tf.Tensor>(clean: T, noise: T): T => tf.sub(noise, clean)

/** x₀ = x_σ − σ·v */
export const denoised = <T extends tf.Tensor>(noisy: T, velocity: T, sigma: tf.Tensor): T =>
  tf.sub(noisy, tf.mul(sigma, velocity))

/** One Euler step: x_σ' = x_σ + (σ' − σ)·v, where v = (x_σ − x₀) / σ. */
export const eulerStep = <T extends tf.Tensor>(noisy: T, clean: T, sigma: number, nextSigma: number): T =>
  tf.add(noisy, tf.mul(tf.div(tf.sub(noisy, clean), sigma), nextSigma - sigma))

const lastSigma = 0.1
const scheduleShift = 2.05

/** The sigmas of a preview: steps + 1 values from 1 through 0.1 to 0. The shift is that of 4096 tokens, whatever the length. */
export function sigmaSchedule(steps: number): number[] {
  const shifted = (t: number) => Math.exp(scheduleShift) / (Math.exp(scheduleShift) + (1 / t - 1))
  const stretch = (1 - shifted(1 / steps)) / (1 - lastSigma)
  const sigmas = Array.from({ length: steps - 1 }, (_, k) => 1 - (1 - shifted(1 - k / steps)) / stretch)
  return [...sigmas, lastSigma, 0]
}

/** Draws the sigma of one training example. @param tokens the latent frames of the target; the reference does not count. */
export const drawSigma = (random: Random, tokens: number) =>
  shiftedLogitNormal({ normal: random.normal(), uniform: random.uniform(), mixture: random.uniform() }, tokens)

const minSigma = 1e-3
const uniformShare = 0.1

/**
 * The reference's distribution `shifted_logit_normal`: sigmoid(shift + normal), stretched so that its quantiles 0.5 % and 99.9 % become 0 and 1. A tenth
 * of the draws is uniform instead. The shift is linear in the number of tokens: 0.95 at 1024 and 2.05 at 4096, extrapolated beyond both.
 */
export function shiftedLogitNormal(draw: { normal: number; uniform: number; mixture: number }, tokens: number): number {
  if (draw.mixture <= uniformShare) return (1 - minSigma) * draw.uniform + minSigma
  const shift = 0.95 + ((tokens - 1024) * (2.05 - 0.95)) / (4096 - 1024)
  const low = sigmoid(shift - 2.5758)
  const high = sigmoid(shift + 3.0902)
  const stretched = (sigmoid(shift + draw.normal) - low) / (high - low)
  const reflected = stretched < minSigma ? 2 * minSigma - stretched : stretched
  return Math.min(Math.max(reflected, 0), 1)
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

/** A training example of the objective, or a batch of them. Latents are in token layout. */
export type Example = {
  /** `[B, T, 128]`, clean. */
  target: tf.Tensor3D
  /** `[B, R, 128]`, clean. */
  reference: tf.Tensor3D
  /** `[B, T, 128]`, standard normal. */
  noise: tf.Tensor3D
  /** `[B]`. */
  sigma: tf.Tensor1D
  /** `[B, S, D]`. */
  context: tf.Tensor3D
}

/** The mean squared error of the predicted velocity, over the tokens of the target alone. @param rope see `pairRope`. */
export function velocityLoss(model: Transformer, example: Example, rope: RopeTable): tf.Scalar {
  const predicted = velocity(model, pairInput(example, rope))
  const ofTarget = tf.slice(predicted, [0, example.reference.shape[1], 0])
  return tf.mean(tf.square(tf.sub(ofTarget, velocityTarget(example.target, example.noise))))
}

/** First the tokens of the reference, clean and with timestep 0, then the noisy tokens of the target. */
export function pairInput({ target, reference, noise, sigma, context }: Example, rope: RopeTable): TransformerInput {
  const noisyTarget = noisyLatents(target, noise, tf.reshape(sigma, [-1, 1, 1]))
  return {
    tokens: tf.concat([reference, noisyTarget], 1),
    noisy: [...Array<0>(reference.shape[1]).fill(0), ...Array<1>(target.shape[1]).fill(1)],
    sigma,
    rope,
    context,
  }
}

/** The positions of a pair's tokens: reference and target both start at 0, so they overlap. The caller disposes of the table. */
export const pairRope = ({ config }: Transformer, referenceFrames: number, targetFrames: number): RopeTable =>
  tokenRope(config, [...frameCenterSeconds(referenceFrames), ...frameCenterSeconds(targetFrames)])
