/** The feed-forward of a block and its gradient by hand. Kept are the inner activations before GELU. */
import * as tf from '@tensorflow/tfjs'
import { narrow, wide } from '../../../engine/ops.ts'
import type { FeedForward } from '../../feed-forward.ts'
import { gelu, geluSlope } from '../../norm.ts'
import { type KeptLinear, linear, linearGradient } from './linear.ts'

export type KeptFeedForward = { inner: tf.Tensor; up: KeptLinear; down: KeptLinear }

const byTokens = { from: 'tokens', to: 'tokens' } as const

/** `[N, D] → [N, D]`. */
export function feedForward(layer: FeedForward, x: tf.Tensor): { y: tf.Tensor2D; kept: KeptFeedForward } {
  const { y: inner, kept: up } = linear(layer.up, x, byTokens)
  const { y, kept: down } = linear(layer.down, narrow(gelu(wide(inner))), byTokens)
  return { y, kept: { inner, up, down } }
}

/** The gradient of x, and of the factors of `up` and `down` in this order. */
export function feedForwardGradient(
  layer: FeedForward,
  dy: tf.Tensor,
  x: tf.Tensor,
  { inner, up, down }: KeptFeedForward,
) {
  const before = wide(inner)
  const x2 = narrow(gelu(before))
  const outer = linearGradient(layer.down, { x: x2, dy, kept: down, ...byTokens, wantsInput: true })
  const dInner = narrow(tf.mul(wide(outer.dx as tf.Tensor), geluSlope(before)))
  const { dx, factors } = linearGradient(layer.up, { x, dy: dInner, kept: up, ...byTokens, wantsInput: true })
  return { dx: dx as tf.Tensor2D, factors: [...factors, ...outer.factors] }
}
