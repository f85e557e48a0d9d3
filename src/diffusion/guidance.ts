/** Guidance: how the predictions of one sampling step are combined (reference §9.2, §9.3). */
import * as tf from '@tensorflow/tfjs'

export type Guidance = {
  /** The scale of classifier-free guidance, away from the negative prompt; 1 is none. */
  cfg: number
  /** The scale of spatio-temporal guidance, away from a prediction with perturbed self-attention; 0 is none. */
  stg: number
  /** How far the standard deviation of the result is brought back to that of the conditional prediction, 0 … 1. */
  rescale: number
}

/** The rescale of every preview, the reference implementation's setting. */
export const guidanceRescale = 0.7

/** The clean latents that each pass predicts, `[1, N, 128]`: of all tokens, including those of the reference. */
export type Predictions = { conditional: tf.Tensor3D; negative?: tf.Tensor3D; perturbed?: tf.Tensor3D }

/**
 * guided = c + (cfg − 1)·(c − n) + stg·(c − p), times rescale · std(c) / std(guided) + 1 − rescale. Both standard deviations are over all tokens: those
 * of the reference are the same in all predictions, and bring the ratio closer to 1.
 */
export function applyGuidance(
  { conditional, negative, perturbed }: Predictions,
  { cfg, stg, rescale }: Guidance,
): tf.Tensor3D {
  let guided = conditional
  if (negative) guided = tf.add(guided, tf.mul(tf.sub(conditional, negative), cfg - 1))
  if (perturbed) guided = tf.add(guided, tf.mul(tf.sub(conditional, perturbed), stg))
  if (rescale === 0) return guided
  const ratio = tf.div(standardDeviation(conditional), standardDeviation(guided))
  return tf.mul(guided, tf.add(tf.mul(ratio, rescale), 1 - rescale))
}

const standardDeviation = (x: tf.Tensor) => tf.sqrt(tf.moments(x).variance)

/** The block that spatio-temporal guidance perturbs: block 28 of the released 48, and the corresponding one of a smaller model. */
export const perturbedBlock = (blocks: number) => Math.floor((blocks * 28) / 48)

/** The number of passes through all blocks that one step takes. The perturbed pass starts at the perturbed block. */
export const passesPerStep = ({ cfg, stg }: Omit<Guidance, 'rescale'>, blocks: number): number =>
  1 + (cfg === 1 ? 0 : 1) + (stg === 0 ? 0 : 1 - perturbedBlock(blocks) / blocks)
