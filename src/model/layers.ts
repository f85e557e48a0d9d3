/** The linear layer, which all parts of the model share (reference §6.3). */
import * as tf from '@tensorflow/tfjs'
import { constant, frozenMatrix } from '../engine/device-tensors.ts'
import { matMulFrozen } from '../engine/matmul.ts'
import type { LinearWeights } from '../engine/operations.ts'
import type { Weights } from './weights.ts'

export type Linear = LinearWeights & {
  /** The module's name in the checkpoint, without the component's prefix: `transformer_blocks.0.audio_attn1.to_q`. */
  name: string
}

/**
 * @param inputs, outputs the widths that the config names.
 * @param options.hasBias default: true.
 * @throws UserError where the checkpoint lacks the weight or the bias, or has other widths.
 */
export function loadLinear(weights: Weights, inputs: number, outputs: number, { hasBias = true } = {}): Linear {
  const weight = frozenMatrix(weights.readPooled('weight', [outputs, inputs]))
  if (!hasBias) return { name: weights.name, weight }
  return { name: weights.name, weight, bias: constant<tf.Rank.R1>(weights.read('bias', [outputs])) }
}

/** x · Wᵀ + b, `[n, in] → [n, out]`, for the layers outside the blocks, which have no LoRA. Differentiable. */
export function linear({ weight, bias }: Linear, x: tf.Tensor2D): tf.Tensor2D {
  const product = matMulFrozen(x, weight)
  return bias ? tf.add(product, bias) : product
}

/** A linear layer on every token: `[B, N, in] → [B, N, out]`. */
export function linearOnTokens(layer: Linear, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, tokens, width] = x.shape
  return tf.reshape(linear(layer, tf.reshape(x, [batch * tokens, width])), [batch, tokens, -1])
}
