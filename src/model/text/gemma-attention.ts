/** Causal attention with fewer key and value heads than query heads (reference §5.3). */
import * as tf from '@tensorflow/tfjs'
import { matMul } from '../../engine/matmul.ts'
import { type Linear, linear, loadLinear, rmsNorm } from '../layers.ts'
import { applyRope, type RopeTable } from '../rope.ts'
import type { Weights } from '../weights.ts'
import type { GemmaConfig, LayerKind } from './gemma-folder.ts'

export type GemmaAttention = {
  query: Linear
  key: Linear
  value: Linear
  output: Linear
  queryNorm: GemmaNorm
  keyNorm: GemmaNorm
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
    queryNorm: loadGemmaNorm(weights.at('q_norm'), headDim, normEpsilon),
    keyNorm: loadGemmaNorm(weights.at('k_norm'), headDim, normEpsilon),
    headDim,
    scoreScale,
  }
}

/** One caption's tokens attend to those before them: `[S, D] → [S, D]`. */
export function gemmaAttention(
  layer: GemmaAttention,
  x: tf.Tensor2D,
  { rope: rotation, mask }: PositionTables,
): tf.Tensor2D {
  const { headDim, scoreScale } = layer
  const tokens = x.shape[0]
  const query = applyRope(gemmaNorm(layer.queryNorm, splitHeads(linear(layer.query, x), headDim)), rotation)
  const key = applyRope(gemmaNorm(layer.keyNorm, splitHeads(linear(layer.key, x), headDim)), rotation)
  const value = splitHeads(linear(layer.value, x), headDim)
  // neighbouring query heads share a key head: side by side they are one taller matrix
  const stack = (y: tf.Tensor4D) => tf.reshape<tf.Rank.R3>(y, [value.shape[1], -1, headDim] as never)
  const scores = matMul(stack(tf.mul(query, scoreScale)), stack(key), { transposeB: true })
  const attended = tf.softmax(tf.add<tf.Tensor3D>(tf.reshape(scores, [-1, tokens, tokens]), mask))
  const mixed = matMul(tf.reshape<tf.Rank.R3>(attended, scores.shape), stack(value))
  return linear(layer.output, joinHeads(tf.reshape(mixed, [-1, tokens, headDim])))
}

/** `[S, H·d] → [1, H, S, d]`. */
const splitHeads = (x: tf.Tensor2D, headDim: number): tf.Tensor4D =>
  tf.expandDims(tf.transpose(tf.reshape(x, [x.shape[0], -1, headDim]), [1, 0, 2]))

/** `[H, S, d] → [S, H·d]`. */
const joinHeads = (x: tf.Tensor3D): tf.Tensor2D => tf.reshape(tf.transpose(x, [1, 0, 2]), [x.shape[1], -1])

/** Gemma's normalisation: the stored weight is what the gain exceeds 1 by. */

export type GemmaNorm = { gain: tf.Tensor1D; epsilon: number }

export const loadGemmaNorm = (weights: Weights, width: number, epsilon: number): GemmaNorm => ({
  gain: tf.tensor1d(weights.float32('weight', [width]).map((excess) => 1 + excess)),
  epsilon,
})

/** Over the last axis. */
export const gemmaNorm = <T extends tf.Tensor>({ gain, epsilon }: GemmaNorm, x: T): T =>
  tf.mul(rmsNorm(x, epsilon), gain)

/** Where the tokens of a caption stand, and which earlier ones each of them sees (reference §5.3). */

/** The rotation is the same for all heads, `[1, 1, S, headDim / 2]`; the mask is added to the scores, `[S, S]`. */
export type PositionTables = { rope: RopeTable; mask: tf.Tensor2D }

/** The first `tokens` positions, from 0: only distances matter, so the padding that upstream puts before a caption is left out. */
export function positionTables(config: GemmaConfig, kind: LayerKind, tokens: number): PositionTables {
  const window = kind === 'sliding_attention' ? config.slidingWindow : Number.POSITIVE_INFINITY
  return { rope: gemmaRope(config, kind, tokens), mask: causalMask(tokens, window) }
}

/** The same for a caption of only so many tokens. */
export function truncatePositions({ rope: rotation, mask }: PositionTables, tokens: number): PositionTables {
  const rows = (table: tf.Tensor4D) => tf.slice(table, [0, 0, 0, 0], [1, 1, tokens, -1])
  return {
    rope: { cos: rows(rotation.cos), sin: rows(rotation.sin) },
    mask: tf.slice(mask, [0, 0], [tokens, tokens]),
  }
}

function gemmaRope({ headDim, rope }: GemmaConfig, kind: LayerKind, tokens: number): RopeTable {
  const { theta, factor } = rope[kind]
  const half = headDim / 2
  const angles = Float64Array.from({ length: tokens * half }, (_, i) => {
    const [position, j] = [Math.floor(i / half), i % half]
    return (position / factor) * theta ** ((-2 * j) / headDim)
  })
  const shape: [number, number, number, number] = [1, 1, tokens, half]
  return {
    cos: tf.tensor4d(Float32Array.from(angles, Math.cos), shape),
    sin: tf.tensor4d(Float32Array.from(angles, Math.sin), shape),
  }
}

/** 0 where a token (row) sees another (column), else −∞. */
function causalMask(tokens: number, window: number): tf.Tensor2D {
  const mask = new Float32Array(tokens * tokens).fill(Number.NEGATIVE_INFINITY)
  for (let token = 0; token < tokens; token++)
    mask.fill(0, token * tokens + Math.max(0, token - window + 1), token * tokens + token + 1)
  return tf.tensor2d(mask, [tokens, tokens])
}
