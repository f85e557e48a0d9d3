/** A linear layer with a frozen weight and, while a LoRA is attached, its two trained factors. */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../checkpoint/weights.ts'
import { product } from '../engine/product.ts'
import { constant, type FrozenMatrix, freeze, timesFrozen } from '../engine/resident.ts'

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
