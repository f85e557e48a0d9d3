/** What a LoRA learns from one pair (spec §7.2): to find the target's velocity, with the clean reference standing before it as an example. */
import * as tf from '@tensorflow/tfjs'
import { latentFrameMiddles, type RopeTable } from '../model/rope.ts'
import { type Transformer, type TransformerInput, tokenRotation, velocity } from '../model/transformer/transformer.ts'
import { noisyLatents, velocityTarget } from './flow-matching.ts'

/** One training example as tensors; patches are latents in token layout. */
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

/** The mean squared error of the predicted velocity over the target's tokens. */
export function velocityLoss(model: Transformer, example: Example, rotation: RopeTable): tf.Scalar {
  const predicted = velocity(model, pairInput(example, rotation))
  const ofTarget = tf.slice(predicted, [0, example.reference.shape[1], 0])
  return tf.mean(tf.square(tf.sub(ofTarget, velocityTarget(example.target, example.noise))))
}

/** The reference's tokens come first, clean and with timestep 0, then the noisy target's. */
export function pairInput(
  { target, reference, noise, sigma, context }: Example,
  rotation: RopeTable,
): TransformerInput {
  const noisyTarget = noisyLatents(target, noise, tf.reshape(sigma, [-1, 1, 1]))
  return {
    tokens: tf.concat([reference, noisyTarget], 1),
    noisy: [...Array<0>(reference.shape[1]).fill(0), ...Array<1>(target.shape[1]).fill(1)],
    sigma,
    rotation,
    context,
  }
}

/** Reference and target both start at time 0: their positions overlap. */
export const pairRotation = ({ config }: Transformer, referenceFrames: number, targetFrames: number): RopeTable =>
  tokenRotation(config, [...latentFrameMiddles(referenceFrames), ...latentFrameMiddles(targetFrames)])
