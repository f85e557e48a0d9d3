/** The feed-forward network of a block: linear, GELU, linear (reference §6.3), with its gradient written by hand. */
import type * as tf from '@tensorflow/tfjs'
import type { Layout, Operations, SavedLinear } from '../engine/operations.ts'
import { type Linear, loadLinear } from './layers.ts'
import type { Weights } from './weights.ts'

export type FeedForward = { up: Linear; down: Linear }

/** @param hasBias whether both layers have a bias. */
export function loadFeedForward(weights: Weights, width: number, hasBias: boolean): FeedForward {
  const [inner] = weights.shape('net.0.proj.weight')
  return {
    up: loadLinear(weights.at('net.0.proj'), width, inner as number, { hasBias }),
    down: loadLinear(weights.at('net.2'), inner as number, width, { hasBias }),
  }
}

/** `inner` are the activations before GELU. */
export type SavedFeedForward = { inner: tf.Tensor; up: SavedLinear; down: SavedLinear }

const tokensToTokens: Layout = { from: 'tokens', to: 'tokens' }

/** `[N, D] → [N, D]`. */
export function feedForward(
  ops: Operations,
  layer: FeedForward,
  x: tf.Tensor,
): { y: tf.Tensor2D; saved: SavedFeedForward } {
  const { y: inner, saved: up } = ops.linear(layer.up, x, tokensToTokens)
  const { y, saved: down } = ops.linear(layer.down, ops.gelu(inner), tokensToTokens)
  return { y, saved: { inner, up, down } }
}

/** @returns dx, and the gradients of the LoRA factors of `up` and `down`. */
export function feedForwardGradient(
  ops: Operations,
  layer: FeedForward,
  { dy, x, saved: { inner, up, down } }: { dy: tf.Tensor; x: tf.Tensor; saved: SavedFeedForward },
): { dx: tf.Tensor2D; factors: tf.Tensor2D[] } {
  const shared = { ...tokensToTokens, needsInputGradient: true }
  const downGrad = ops.linearGradient(layer.down, { x: ops.gelu(inner), dy, saved: down, ...shared })
  const dInner = ops.geluGradient(downGrad.dx as tf.Tensor, inner)
  const upGrad = ops.linearGradient(layer.up, { x, dy: dInner, saved: up, ...shared })
  return { dx: upGrad.dx as tf.Tensor2D, factors: [...upGrad.factors, ...downGrad.factors] }
}
