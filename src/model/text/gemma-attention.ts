/** The attention of Gemma (reference §5.3, §10.2): causal, with fewer key and value heads than query heads. */
import * as tf from '@tensorflow/tfjs'
import { rmsNorm, rotateHalves } from '../../engine/activations.ts'
import { matMul } from '../../engine/matmul.ts'
import { type Linear, linear, loadLinear } from '../layers.ts'
import type { RopeTable } from '../rope.ts'
import type { Weights } from '../weights.ts'
import type { GemmaAttentionConfig, GemmaConfig, LayerKind } from './gemma-config.ts'
import { type GemmaNorm, gemmaNorm, loadGemmaNorm } from './gemma-norm.ts'

export type GemmaAttention = {
  query: Linear
  key: Linear
  /** Without it, values are the projected keys. */
  value?: Linear
  output: Linear
  queryNorm: GemmaNorm
  keyNorm: GemmaNorm
  headDim: number
  scoreScale: number
  /** Of the norm of values, where they have one. */
  valueEpsilon?: number
}

export function loadGemmaAttention(weights: Weights, config: GemmaConfig, kind: LayerKind): GemmaAttention {
  const { hiddenSize, heads, normEpsilon, scoreScale, normalizesValues } = config
  const { headDim, keyValueHeads, sharesKeyAndValue } = config.attention[kind]
  const project = (name: string, heads: number) =>
    loadLinear(weights.at(name), hiddenSize, heads * headDim, { hasBias: false })
  return {
    query: project('q_proj', heads),
    key: project('k_proj', keyValueHeads),
    ...(!sharesKeyAndValue && { value: project('v_proj', keyValueHeads) }),
    output: loadLinear(weights.at('o_proj'), heads * headDim, hiddenSize, { hasBias: false }),
    queryNorm: loadGemmaNorm(weights.at('q_norm'), headDim, config),
    keyNorm: loadGemmaNorm(weights.at('k_norm'), headDim, config),
    headDim,
    scoreScale,
    ...(normalizesValues && { valueEpsilon: normEpsilon }),
  }
}

/** Every token attends to itself and to earlier tokens: `[S, D] → [S, D]`. */
export function gemmaAttention(layer: GemmaAttention, x: tf.Tensor2D, { rope, mask }: PositionTables): tf.Tensor2D {
  const { headDim, scoreScale, valueEpsilon } = layer
  const tokens = x.shape[0]
  const query = rotateHalves(gemmaNorm(layer.queryNorm, splitHeads(linear(layer.query, x), headDim)), rope, -1)
  const projectedKey = splitHeads(linear(layer.key, x), headDim)
  const key = rotateHalves(gemmaNorm(layer.keyNorm, projectedKey), rope, -1)
  const projectedValue = layer.value ? splitHeads(linear(layer.value, x), headDim) : projectedKey
  const value = valueEpsilon === undefined ? projectedValue : rmsNorm(projectedValue, valueEpsilon)
  // adjacent query heads share a key head, so they are multiplied with it as one matrix of more rows
  const stack = (y: tf.Tensor4D) => tf.reshape<tf.Rank.R3>(y, [value.shape[1], -1, headDim] as never)
  const scores = matMul(stack(tf.mul(query, scoreScale)), stack(key), { transposeB: true })
  const probabilities = tf.softmax(tf.add<tf.Tensor3D>(tf.reshape(scores, [-1, tokens, tokens]), mask))
  const attended = matMul(tf.reshape<tf.Rank.R3>(probabilities, scores.shape), stack(value))
  return linear(layer.output, joinHeads(tf.reshape(attended, [-1, tokens, headDim])))
}

/** `[S, H·d] → [1, H, S, d]`. */
const splitHeads = (x: tf.Tensor2D, headDim: number): tf.Tensor4D =>
  tf.expandDims(tf.transpose(tf.reshape(x, [x.shape[0], -1, headDim]), [1, 0, 2]))

/** `[H, S, d] → [S, H·d]`. */
const joinHeads = (x: tf.Tensor3D): tf.Tensor2D => tf.reshape(tf.transpose(x, [1, 0, 2]), [x.shape[1], -1])

/** The rotary table is the same for all heads, `[1, 1, S, headDim / 2]`. The mask is added to the scores, `[S, S]`. */
export type PositionTables = { rope: RopeTable; mask: tf.Tensor2D }

/**
 * For the positions 0 … `tokens` − 1. Attention depends only on the differences of positions, so the padding that the reference implementation puts
 * before a caption is left out.
 */
export const positionTables = (config: GemmaAttentionConfig, tokens: number): PositionTables => ({
  rope: gemmaRope(config, tokens),
  mask: causalMask(tokens, config.window),
})

/** The tables of a shorter caption. */
export function truncatePositions({ rope, mask }: PositionTables, tokens: number): PositionTables {
  const rows = (table: tf.Tensor4D) => tf.slice(table, [0, 0, 0, 0], [1, 1, tokens, -1])
  return { rope: { cos: rows(rope.cos), sin: rows(rope.sin) }, mask: tf.slice(mask, [0, 0], [tokens, tokens]) }
}

/** angle_j = position / factor · theta^(−2j / d), and 0 for the pairs that are not rotated. */
function gemmaRope({ headDim, rope }: GemmaAttentionConfig, tokens: number): RopeTable {
  const { theta, factor, rotatedPairs } = rope
  const half = headDim / 2
  const angles = Float64Array.from({ length: tokens * half }, (_, i) => {
    const [position, j] = [Math.floor(i / half), i % half]
    return j < rotatedPairs ? (position / factor) * theta ** ((-2 * j) / headDim) : 0
  })
  const shape: [number, number, number, number] = [1, 1, tokens, half]
  return {
    cos: tf.tensor4d(Float32Array.from(angles, Math.cos), shape),
    sin: tf.tensor4d(Float32Array.from(angles, Math.sin), shape),
  }
}

/** 0 where a token (row) may attend to another (column), otherwise −∞. */
function causalMask(tokens: number, window: number): tf.Tensor2D {
  const mask = new Float32Array(tokens * tokens).fill(Number.NEGATIVE_INFINITY)
  for (let token = 0; token < tokens; token++)
    mask.fill(0, token * tokens + Math.max(0, token - window + 1), token * tokens + token + 1)
  return tf.tensor2d(mask, [tokens, tokens])
}
