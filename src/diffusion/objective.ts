/**
 * The training objective (reference §7.2): the model predicts the velocity of the noisy target, with the clean reference before it in the same sequence.
 */
import * as tf from '@tensorflow/tfjs'
import { frameCenterSeconds, type RopeTable } from '../model/rope.ts'
import { type Transformer, type TransformerInput, tokenRope, velocity } from '../model/transformer/transformer.ts'
import { noisyLatents, velocityTarget } from './flow-matching.ts'

/** A training example, or a batch of them. Latents are in token layout. */
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
