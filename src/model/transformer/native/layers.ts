/**
 * The layers of the native block with gradients written by hand: linear with LoRA, feed-forward, norm and modulation. Matrices are in the precision of
 * matrix products, norms and modulation in float32.
 */
import * as tf from '@tensorflow/tfjs'
import { padRowsForMatMul } from '../../../engine/matmul.ts'
import { add, biasAdd, matMul, reshape, toComputeDtype, toFloat32 } from '../../../engine/native-ops.ts'
import { type FeedForward, gelu, geluDerivative, type Linear, normEpsilon } from '../../layers.ts'

/** What the rows of a matrix of activations are: tokens `[N, D]` or features `[D, N]`. */
export type Rows = 'tokens' | 'features'

/** The layouts of a linear layer's input and output. With `[D, N]` the heads of attention are rows, so it needs no transposes. */
export type Layout = { from: Rows; to: Rows }

/** x · loraAᵀ, where there is a LoRA. */
export type SavedLinear = { down?: tf.Tensor | undefined }

export function linear(layer: Linear, x: tf.Tensor, { from, to }: Layout): { y: tf.Tensor2D; saved: SavedLinear } {
  const multiply = (x: tf.Tensor, matrix: tf.Tensor, from: Rows) =>
    to === 'tokens'
      ? matMul(x, matrix, { transposeA: from === 'features', transposeB: true })
      : matMul(matrix, x, { transposeB: from === 'tokens' })
  // the bias comes last: TensorFlow fuses product, bias and sum into an op that it does not have on every processor
  const addBias = (y: tf.Tensor2D) => {
    if (!layer.bias) return y
    const bias = toComputeDtype(layer.bias)
    return to === 'tokens' ? biasAdd(y, bias) : add(y, reshape(bias, [-1, 1]))
  }
  const product = multiply(x, toComputeDtype(layer.weight.stored as tf.Tensor2D), from)
  if (!layer.lora) return { y: addBias(product), saved: {} }
  const { a, b, scale } = layer.lora
  const down = multiply(x, toComputeDtype(a), from)
  const up = multiply(down, toComputeDtype(scaled(b, scale)), to)
  return { y: addBias(add(product, up)), saved: { down } }
}

export type LinearGradient = { dx?: tf.Tensor2D; factors: tf.Tensor2D[] }

export type LinearGradientInputs = Layout & {
  x: tf.Tensor
  dy: tf.Tensor
  saved: SavedLinear
  /** False where nothing before the layer is trained. */
  needsInputGradient: boolean
}

/** @returns dx in the layout of x, and the gradients of loraA and loraB where there is a LoRA. */
export function linearGradient(
  layer: Linear,
  { x, dy, saved, from, to, needsInputGradient }: LinearGradientInputs,
): LinearGradient {
  const backward = (matrix: tf.Tensor, dy: tf.Tensor) =>
    from === 'tokens'
      ? matMul(dy, matrix, { transposeA: to === 'features' })
      : matMul(matrix, dy, { transposeA: true, transposeB: to === 'tokens' })
  const throughWeight = () => {
    const weight = toComputeDtype(layer.weight.stored as tf.Tensor2D)
    const tokens = { axis: tokenAxis(to), features: weight.shape[1], resultAxis: tokenAxis(from) }
    return padRowsForMatMul(dy as tf.Tensor2D, tokens, (dy) => backward(weight, dy))
  }
  const dx = needsInputGradient ? throughWeight() : undefined
  const { down } = saved
  if (!down || !layer.lora) return { ...(dx && { dx }), factors: [] }
  const { scale } = layer.lora
  const a = toComputeDtype(layer.lora.a)
  const b = toComputeDtype(scaled(layer.lora.b, scale))
  const dDown = to === 'tokens' ? matMul(dy, b) : matMul(b, dy, { transposeA: true })
  const da = matMul(dDown, x, { transposeA: to === 'tokens', transposeB: from === 'features' })
  const db = matMul(dy, down, { transposeA: to === 'tokens', transposeB: to === 'features' })
  const factors = [toFloat32(da), scaled(toFloat32(db), scale)]
  return { ...(dx && { dx: add(dx, backward(a, dDown)) }), factors }
}

const tokenAxis = (rows: Rows): 0 | 1 => (rows === 'tokens' ? 0 : 1)

const scaled = (x: tf.Tensor2D, scale: number): tf.Tensor2D => (scale === 1 ? x : x.mul(scale))

/** `inner` are the activations before GELU. */
export type SavedFeedForward = { inner: tf.Tensor; up: SavedLinear; down: SavedLinear }

const tokensToTokens = { from: 'tokens', to: 'tokens' } as const

/** `[N, D] → [N, D]`. */
export function feedForward(layer: FeedForward, x: tf.Tensor): { y: tf.Tensor2D; saved: SavedFeedForward } {
  const { y: inner, saved: up } = linear(layer.up, x, tokensToTokens)
  const { y, saved: down } = linear(layer.down, toComputeDtype(gelu(toFloat32(inner))), tokensToTokens)
  return { y, saved: { inner, up, down } }
}

/** @returns dx, and the gradients of the LoRA factors of `up` and `down`. */
export function feedForwardGradient(
  layer: FeedForward,
  dy: tf.Tensor,
  x: tf.Tensor,
  { inner, up, down }: SavedFeedForward,
): { dx: tf.Tensor2D; factors: tf.Tensor2D[] } {
  const shared = { ...tokensToTokens, needsInputGradient: true }
  const beforeGelu = toFloat32(inner)
  const activated = toComputeDtype(gelu(beforeGelu))
  const downGrad = linearGradient(layer.down, { x: activated, dy, saved: down, ...shared })
  const dInner = toComputeDtype(tf.mul(toFloat32(downGrad.dx as tf.Tensor), geluDerivative(beforeGelu)))
  const upGrad = linearGradient(layer.up, { x, dy: dInner, saved: up, ...shared })
  return { dx: upGrad.dx as tf.Tensor2D, factors: [...upGrad.factors, ...downGrad.factors] }
}

/** 1 / sqrt(mean(x²) + eps) along an axis, which stays with size 1. */
export const inverseRms = (x: tf.Tensor, axis: number): tf.Tensor =>
  tf.rsqrt(tf.add(tf.mean(tf.square(x), axis, true), normEpsilon))

/** The gradient of y = x · r, where r is the inverse RMS of x: dx = r · (dy − y · mean(dy · y)). */
export const rmsNormGradient = (dy: tf.Tensor, y: tf.Tensor, r: tf.Tensor, axis: number): tf.Tensor =>
  tf.mul(r, tf.sub(dy, tf.mul(y, tf.mean(tf.mul(dy, y), axis, true))))

/** norm(x) · (1 + scale) + shift, `[N, D]`. */
export const modulatedNorm = (x: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor): tf.Tensor =>
  toComputeDtype(tf.add(tf.mul(tf.mul(x, inverseRms(x, 1)), tf.add(scale, 1)), shift))

/** The gradient of x. */
export function modulatedNormGradient(dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor): tf.Tensor {
  const r = inverseRms(x, 1)
  return rmsNormGradient(tf.mul(dy, tf.add(scale, 1)), tf.mul(x, r), r, 1)
}
