/** A linear layer with a frozen weight and, while a LoRA is attached, its two trained factors. */

import * as tf from '@tensorflow/tfjs'
import { constant, type FrozenMatrix, freeze, timesFrozen } from '../engine/device-tensors.ts'
import { product } from '../engine/matmul.ts'
import { onTokens } from './attention.ts'
import type { Weights } from './weights.ts'

/** loraA `[rank, in]`, loraB `[out, rank]`; the layer adds scale · loraB · loraA to its weight. */
export type LoraFactors = { a: tf.Tensor2D; b: tf.Tensor2D; scale: number }

export type Linear = {
  /** The module's name in the checkpoint, without the component's prefix: `transformer_blocks.0.audio_attn1.to_q`. */
  name: string
  weight: FrozenMatrix
  bias?: tf.Tensor1D
  lora?: LoraFactors
}

/** @param inputs, outputs the widths the config asks for. */
export function loadLinear(weights: Weights, inputs: number, outputs: number): Linear {
  const weight = freeze(weights.lend('weight', [outputs, inputs]))
  if (!weights.has('bias')) return { name: weights.name, weight }
  return { name: weights.name, weight, bias: constant<tf.Rank.R1>(weights.read('bias', [outputs])) }
}

/** x · Wᵀ + b, plus the LoRA's part: `[n, in] → [n, out]`. The only function that looks at `lora`. */
export function linear({ weight, bias, lora }: Linear, x: tf.Tensor2D): tf.Tensor2D {
  const plain = timesFrozen(x, weight)
  const biased = bias ? tf.add<tf.Tensor2D>(plain, bias) : plain
  if (!lora) return biased
  const down = product(x, lora.a, { transposeB: true })
  const up = product(down, lora.b, { transposeB: true })
  return tf.add(biased, lora.scale === 1 ? up : tf.mul(up, lora.scale))
}

/** Linear, GELU, linear (spec §6.3). */

export type FeedForward = { up: Linear; down: Linear }

export function loadFeedForward(weights: Weights, width: number): FeedForward {
  const [inner] = weights.shape('net.0.proj.weight')
  return {
    up: loadLinear(weights.at('net.0.proj'), width, inner as number),
    down: loadLinear(weights.at('net.2'), inner as number, width),
  }
}

/** `[B, N, D] → [B, N, D]`. */
export const feedForward = ({ up, down }: FeedForward, x: tf.Tensor3D) => onTokens(down, gelu(onTokens(up, x)))

/** The normalisations and activations that the transformer, the connector and the text tower share (spec §6.3, §6.4, §6.6). */

export const normEpsilon = 1e-6

/** x / sqrt(mean(x²) + eps) over the last axis; no weight. */
export const rmsNorm = <T extends tf.Tensor>(x: T, epsilon = normEpsilon): T =>
  tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon)))

/** (x − mean) / sqrt(variance + eps) over the last axis; no weight. */
export const layerNorm = <T extends tf.Tensor>(x: T, epsilon = normEpsilon): T =>
  rmsNorm(tf.sub<T>(x, tf.mean(x, -1, true)), epsilon)

/** x · sigmoid(x). */
export const silu = <T extends tf.Tensor>(x: T): T => tf.mul(x, tf.sigmoid(x))

const gain = 2 * Math.sqrt(2 / Math.PI)

/** GELU in its tanh approximation; 0.5 (1 + tanh u) = sigmoid(2u), and a sigmoid is much faster than a tanh in wasm. */
export const gelu = <T extends tf.Tensor>(x: T): T =>
  tf.mul(x, tf.sigmoid(tf.mul(x, tf.add(tf.mul(tf.square(x), gain * 0.044715), gain))))

/** The derivative of GELU. */
export function geluSlope<T extends tf.Tensor>(x: T): T {
  const square = tf.square(x)
  const gate = tf.sigmoid(tf.mul(x, tf.add(tf.mul(square, gain * 0.044715), gain)))
  const slope = tf.mul(tf.mul(x, tf.sub(1, gate)), tf.add(tf.mul(square, 3 * gain * 0.044715), gain))
  return tf.mul(gate, tf.add(slope, 1))
}
