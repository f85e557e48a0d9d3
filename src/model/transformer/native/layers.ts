/** The feed-forward of a block and its gradient by hand. Kept are the inner activations before GELU. */

import * as tf from '@tensorflow/tfjs'
import { withEnoughRows } from '../../../engine/matmul.ts'
import { add, biasAdd, matMul, narrow, reshape, wide } from '../../../engine/ops.ts'
import { type FeedForward, gelu, geluSlope, type Linear, normEpsilon } from '../../layers.ts'

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

/**
 * A linear layer and its gradient by hand, in the precision of its weight. A matrix of activations may hold tokens as rows or as columns, so that
 * attention needs no transposes: its heads are rows of `[D, N]`.
 */

/** What the rows of a matrix of activations are: tokens `[N, D]` or features `[D, N]`. */
export type Rows = 'tokens' | 'features'

const axisOfTokens = (rows: Rows): 0 | 1 => (rows === 'tokens' ? 0 : 1)

type Orientation = { from: Rows; to: Rows }

/** A · x, where there is a LoRA. */
export type KeptLinear = { down?: tf.Tensor | undefined }

export function linear(layer: Linear, x: tf.Tensor, { from, to }: Orientation) {
  const weight = narrow(layer.weight.stored as tf.Tensor2D)
  const times = (x: tf.Tensor, matrix: tf.Tensor, from: Rows) =>
    to === 'tokens'
      ? matMul(x, matrix, { transposeA: from === 'features', transposeB: true })
      : matMul(matrix, x, { transposeB: from === 'tokens' })
  const plain = times(x, weight, from)
  const bias = layer.bias && narrow(layer.bias)
  // the bias comes last: TensorFlow fuses product, bias and sum, and has no kernel for it on every CPU
  const biased = (y: tf.Tensor2D) => {
    if (!bias) return y
    return to === 'tokens' ? biasAdd(y, bias) : add(y, reshape(bias, [-1, 1]))
  }
  if (!layer.lora) return { y: biased(plain), kept: {} as KeptLinear }
  const { a, b, scale } = layer.lora
  const down = times(x, narrow(a), from)
  const kept: KeptLinear = { down }
  return { y: biased(add(plain, times(down, narrow(scaled(b, scale)), to))), kept }
}

export type LinearGradient = { dx?: tf.Tensor2D; factors: tf.Tensor2D[] }

/** @param wantsInput whether anything before this layer is trained. @returns dx in the orientation of x, and the gradients of A and B. */
export function linearGradient(
  layer: Linear,
  {
    x,
    dy,
    kept,
    from,
    to,
    wantsInput,
  }: Orientation & { x: tf.Tensor; dy: tf.Tensor; kept: KeptLinear; wantsInput: boolean },
): LinearGradient {
  const back = (matrix: tf.Tensor, dy: tf.Tensor) =>
    from === 'tokens'
      ? matMul(dy, matrix, { transposeA: to === 'features' })
      : matMul(matrix, dy, { transposeA: true, transposeB: to === 'tokens' })
  const throughWeight = () => {
    const weight = narrow(layer.weight.stored as tf.Tensor2D)
    const tokens = { axis: axisOfTokens(to), features: weight.shape[1], resultAxis: axisOfTokens(from) }
    return withEnoughRows(dy as tf.Tensor2D, tokens, (dy) => back(weight, dy))
  }
  const dx = wantsInput ? throughWeight() : undefined
  if (!kept.down || !layer.lora) return { ...(dx && { dx }), factors: [] }
  const { scale } = layer.lora
  const { down } = kept
  const a = narrow(layer.lora.a)
  const b = narrow(scaled(layer.lora.b, scale))
  const dDown = to === 'tokens' ? matMul(dy, b) : matMul(b, dy, { transposeA: true })
  const da = matMul(dDown, x, { transposeA: to === 'tokens', transposeB: from === 'features' })
  const db = matMul(dy, down, { transposeA: to === 'tokens', transposeB: to === 'features' })
  const factors = [wide(da), scaled(wide(db), scale)]
  return { ...(dx && { dx: add(dx, back(a, dDown)) }), factors }
}

const scaled = (x: tf.Tensor2D, scale: number): tf.Tensor2D => (scale === 1 ? x : x.mul(scale))

/** Norm and modulation of a block's tokens, and their gradient by hand, in float32. */

/** 1 / sqrt(mean(x²) + eps) along an axis that stays. */
export const inverseRms = (x: tf.Tensor, axis: number): tf.Tensor =>
  tf.rsqrt(tf.add(tf.mean(tf.square(x), axis, true), normEpsilon))

/** The gradient of y = x · r, r being the inverse RMS of x: r (dy − y · mean(dy · y)). */
export const normGradient = (dy: tf.Tensor, y: tf.Tensor, r: tf.Tensor, axis: number): tf.Tensor =>
  tf.mul(r, tf.sub(dy, tf.mul(y, tf.mean(tf.mul(dy, y), axis, true))))
