/** Causal attention with fewer key and value heads than query heads (spec §5.3). */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { product } from '../../engine/product.ts'
import { type Linear, linear, loadLinear } from '../linear.ts'
import { rotate } from '../rope.ts'
import type { GemmaConfig } from './gemma-config.ts'
import { type GainNorm, gainNorm, loadGainNorm } from './gemma-norm.ts'
import type { Positions } from './gemma-positions.ts'

export type GemmaAttention = {
  query: Linear
  key: Linear
  value: Linear
  output: Linear
  queryNorm: GainNorm
  keyNorm: GainNorm
  headDim: number
  scoreScale: number
}

export function loadGemmaAttention(weights: Weights, config: GemmaConfig): GemmaAttention {
  const { hiddenSize, heads, keyValueHeads, headDim, normEpsilon, scoreScale } = config
  return {
    query: loadLinear(weights.at('q_proj'), hiddenSize, heads * headDim),
    key: loadLinear(weights.at('k_proj'), hiddenSize, keyValueHeads * headDim),
    value: loadLinear(weights.at('v_proj'), hiddenSize, keyValueHeads * headDim),
    output: loadLinear(weights.at('o_proj'), heads * headDim, hiddenSize),
    queryNorm: loadGainNorm(weights.at('q_norm'), headDim, normEpsilon),
    keyNorm: loadGainNorm(weights.at('k_norm'), headDim, normEpsilon),
    headDim,
    scoreScale,
  }
}

/** One caption's tokens attend to those before them: `[S, D] → [S, D]`. */
export function gemmaAttention(layer: GemmaAttention, x: tf.Tensor2D, { rotation, mask }: Positions): tf.Tensor2D {
  const { headDim, scoreScale } = layer
  const tokens = x.shape[0]
  const query = rotate(gainNorm(layer.queryNorm, splitHeads(linear(layer.query, x), headDim)), rotation)
  const key = rotate(gainNorm(layer.keyNorm, splitHeads(linear(layer.key, x), headDim)), rotation)
  const value = splitHeads(linear(layer.value, x), headDim)
  // neighbouring query heads share a key head: side by side they are one taller matrix
  const stack = (y: tf.Tensor4D) => tf.reshape<tf.Rank.R3>(y, [value.shape[1], -1, headDim] as never)
  const scores = product(stack(tf.mul(query, scoreScale)), stack(key), { transposeB: true })
  const attended = tf.softmax(tf.add<tf.Tensor3D>(tf.reshape(scores, [-1, tokens, tokens]), mask))
  const mixed = product(tf.reshape<tf.Rank.R3>(attended, scores.shape), stack(value))
  return linear(layer.output, joinHeads(tf.reshape(mixed, [-1, tokens, headDim])))
}

/** `[S, H·d] → [1, H, S, d]`. */
const splitHeads = (x: tf.Tensor2D, headDim: number): tf.Tensor4D =>
  tf.expandDims(tf.transpose(tf.reshape(x, [x.shape[0], -1, headDim]), [1, 0, 2]))

/** `[H, S, d] → [S, H·d]`. */
const joinHeads = (x: tf.Tensor3D): tf.Tensor2D => tf.reshape(tf.transpose(x, [1, 0, 2]), [x.shape[1], -1])
