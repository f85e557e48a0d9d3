/** How the passes of one preview step are combined (spec §9.2, §9.3). */
import * as tf from '@tensorflow/tfjs'

export type Guidance = {
  /** Classifier-free guidance, away from the negative prompt; 1 is none. */
  cfg: number
  /** Spatio-temporal guidance, away from a pass with perturbed self-attention; 0 is none. */
  stg: number
  /** How far the result is brought back to the spread of the plain prediction, 0 … 1. */
  rescale: number
}

/** The clean latents that each pass predicts, all tokens, reference included. */
export type Predictions = { conditional: tf.Tensor3D; negative?: tf.Tensor3D; perturbed?: tf.Tensor3D }

/** The guided prediction. The two spreads are taken over every token: those of the reference, alike in all passes, pull their ratio towards 1. */
export function guide({ conditional, negative, perturbed }: Predictions, { cfg, stg, rescale }: Guidance): tf.Tensor3D {
  let guided = conditional
  if (negative) guided = tf.add(guided, tf.mul(tf.sub(conditional, negative), cfg - 1))
  if (perturbed) guided = tf.add(guided, tf.mul(tf.sub(conditional, perturbed), stg))
  if (rescale === 0) return guided
  const ratio = tf.div(spread(conditional), spread(guided))
  return tf.mul(guided, tf.add(tf.mul(ratio, rescale), 1 - rescale))
}

const spread = (x: tf.Tensor) => tf.sqrt(tf.moments(x).variance)

/** The blocks that are perturbed: block 28 of the released 48, and its like in a smaller model. */
export const perturbedBlock = (blocks: number) => Math.floor((blocks * 28) / 48)

/** How many passes through all blocks one step takes: the perturbed one begins at the perturbed block. */
export const passesOf = ({ cfg, stg }: Omit<Guidance, 'rescale'>, blocks: number): number =>
  1 + (cfg === 1 ? 0 : 1) + (stg === 0 ? 0 : 1 - perturbedBlock(blocks) / blocks)
