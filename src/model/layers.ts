/**
 * The layers that the transformer, the text connector and the text encoder share: linear with LoRA, feed-forward, norms and activations (reference
 * §6.3, §6.4, §6.6).
 */
import * as tf from '@tensorflow/tfjs'
import { constant, type FrozenMatrix, frozenMatrix } from '../engine/device-tensors.ts'
import { matMul, matMulFrozen } from '../engine/matmul.ts'
import type { Weights } from './weights.ts'

/** loraA `[rank, in]`, loraB `[out, rank]`. The layer's weight becomes W + scale · loraB · loraA. */
export type LoraFactors = { a: tf.Tensor2D; b: tf.Tensor2D; scale: number }

/** A linear layer with a frozen weight and, while a LoRA is attached, its trained factors. */
export type Linear = {
  /** The module's name in the checkpoint, without the component's prefix: `transformer_blocks.0.audio_attn1.to_q`. */
  name: string
  weight: FrozenMatrix
  bias?: tf.Tensor1D
  lora?: LoraFactors
}

/**
 * @param inputs, outputs the widths that the config names.
 * @throws UserError where the checkpoint lacks the weight or has other widths.
 */
export function loadLinear(weights: Weights, inputs: number, outputs: number): Linear {
  const weight = frozenMatrix(weights.readPooled('weight', [outputs, inputs]))
  if (!weights.has('bias')) return { name: weights.name, weight }
  return { name: weights.name, weight, bias: constant<tf.Rank.R1>(weights.read('bias', [outputs])) }
}

/** x · Wᵀ + b, plus scale · (x · loraAᵀ) · loraBᵀ where a LoRA is attached: `[n, in] → [n, out]`. */
export function linear({ weight, bias, lora }: Linear, x: tf.Tensor2D): tf.Tensor2D {
  const product = matMulFrozen(x, weight)
  const y = bias ? tf.add<tf.Tensor2D>(product, bias) : product
  if (!lora) return y
  const down = matMul(x, lora.a, { transposeB: true })
  const up = matMul(down, lora.b, { transposeB: true })
  return tf.add(y, lora.scale === 1 ? up : tf.mul(up, lora.scale))
}

/** A linear layer on every token: `[B, N, in] → [B, N, out]`. */
export function linearOnTokens(layer: Linear, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, tokens, width] = x.shape
  return tf.reshape(linear(layer, tf.reshape(x, [batch * tokens, width])), [batch, tokens, -1])
}

/** Linear, GELU, linear (reference §6.3). */
export type FeedForward = { up: Linear; down: Linear }

export function loadFeedForward(weights: Weights, width: number): FeedForward {
  const [inner] = weights.shape('net.0.proj.weight')
  return {
    up: loadLinear(weights.at('net.0.proj'), width, inner as number),
    down: loadLinear(weights.at('net.2'), inner as number, width),
  }
}

/** `[B, N, D] → [B, N, D]`. */
export const feedForward = ({ up, down }: FeedForward, x: tf.Tensor3D) =>
  linearOnTokens(down, gelu(linearOnTokens(up, x)))

export const normEpsilon = 1e-6

/** x / sqrt(mean(x²) + eps) over the last axis; no weight. */
export const rmsNorm = <T extends tf.Tensor>(x: T, epsilon = normEpsilon): T =>
  tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon)))

/** (x − mean) / sqrt(variance + eps) over the last axis; no weight. */
export const layerNorm = <T extends tf.Tensor>(x: T, epsilon = normEpsilon): T =>
  rmsNorm(tf.sub<T>(x, tf.mean(x, -1, true)), epsilon)

/** x · sigmoid(x). */
export const silu = <T extends tf.Tensor>(x: T): T => tf.mul(x, tf.sigmoid(x))

const [linearTerm, cubicTerm] = [2 * Math.sqrt(2 / Math.PI), 2 * Math.sqrt(2 / Math.PI) * 0.044715]

/**
 * GELU in its tanh approximation, 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 x³))), written as x · sigmoid(linearTerm · x + cubicTerm · x³): the same
 * function, and a sigmoid is much faster than a tanh in wasm.
 */
export const gelu = <T extends tf.Tensor>(x: T): T =>
  tf.mul(x, tf.sigmoid(tf.mul(x, tf.add(tf.mul(tf.square(x), cubicTerm), linearTerm))))

/** The derivative of `gelu`. */
export function geluDerivative<T extends tf.Tensor>(x: T): T {
  const square = tf.square(x)
  const gate = tf.sigmoid(tf.mul(x, tf.add(tf.mul(square, cubicTerm), linearTerm)))
  const inner = tf.mul(tf.mul(x, tf.sub(1, gate)), tf.add(tf.mul(square, 3 * cubicTerm), linearTerm))
  return tf.mul(gate, tf.add(inner, 1))
}
