/** Gated multi-head attention, as the transformer and the text connector use it (reference §6.4), with its gradient written by hand. */
import * as tf from '@tensorflow/tfjs'
import { constant } from '../engine/device-tensors.ts'
import type {
  Layout,
  NormedQueryKey,
  Operations,
  QueryKeyTransform,
  RotaryTable,
  SavedLinear,
} from '../engine/operations.ts'
import type { TensorTree } from '../engine/tensor-tree.ts'
import { type Linear, loadLinear } from './layers.ts'
import type { Weights } from './weights.ts'

export type Attention = {
  heads: number
  query: Linear
  key: Linear
  value: Linear
  output: Linear
  /** The weights of the RMS norms of queries and keys, `[D]`. */
  queryNorm: tf.Tensor1D
  keyNorm: tf.Tensor1D
  /** The logits of one gate per head. */
  gate?: Linear
}

export type AttentionSize = { heads: number; headDim: number; contextWidth?: number }

/** @param size.contextWidth the width of what is attended to, for cross-attention. */
export function loadAttention(weights: Weights, { heads, headDim, contextWidth }: AttentionSize): Attention {
  const width = heads * headDim
  const norm = (name: string) => constant<tf.Rank.R1>(weights.read(`${name}.weight`, [width]))
  return {
    heads,
    query: loadLinear(weights.at('to_q'), width, width),
    key: loadLinear(weights.at('to_k'), contextWidth ?? width, width),
    value: loadLinear(weights.at('to_v'), contextWidth ?? width, width),
    output: loadLinear(weights.at('to_out.0'), width, width),
    queryNorm: norm('q_norm'),
    keyNorm: norm('k_norm'),
    ...(weights.has('to_gate_logits.weight') && { gate: loadLinear(weights.at('to_gate_logits'), width, heads) }),
  }
}

/** The values `[H, d, S]` and the normed keys `[D, S]` of what is attended to. Without keys, every token gets its own value, as if it attended to itself alone. */
export type KeyValue = {
  value: tf.Tensor
  key?: NormedQueryKey | undefined
  saved: { value: SavedLinear; key?: SavedLinear }
}

export type SavedAttention = {
  /** `[H, d, N]`, before the gates. */
  attended: tf.Tensor
  gates?: tf.Tensor | undefined
  scores?: { query: NormedQueryKey; saved: TensorTree } | undefined
  linears: { query?: SavedLinear; output: SavedLinear }
}

const tokensToFeatures: Layout = { from: 'tokens', to: 'features' }
const featuresToTokens: Layout = { from: 'features', to: 'tokens' }

/** Keys and values of a context `[S, D]`. @param skipSelfAttention the perturbation of spatio-temporal guidance: there are no keys. */
export function projectKeyValue(
  ops: Operations,
  layer: Attention,
  context: tf.Tensor,
  skipSelfAttention = false,
): KeyValue {
  const { y, saved } = ops.linear(layer.value, context, tokensToFeatures)
  const value = ops.splitHeads(y, layer.heads)
  if (skipSelfAttention) return { value, saved: { value: saved } }
  const key = ops.linear(layer.key, context, tokensToFeatures)
  return { value, key: ops.normalizeQueryKey(key.y), saved: { value: saved, key: key.saved } }
}

/** The tokens `[N, D]` attend to keys and values: `[N, D]`. The gates depend on x. */
export function attention(
  ops: Operations,
  layer: Attention,
  x: tf.Tensor,
  { value, key }: KeyValue,
  rope?: RotaryTable | undefined,
): { y: tf.Tensor2D; saved: SavedAttention } {
  const attention = key && attend(ops, layer, x, { value, key, rope })
  const attended = attention?.attended ?? value
  const gates = layer.gate && ops.headGates(ops.linear(layer.gate, x, tokensToFeatures).y)
  const output = ops.linear(layer.output, ops.gateHeads(attended, gates), featuresToTokens)
  const linears = { ...(attention && { query: attention.linear }), output: output.saved }
  return { y: output.y, saved: { attended, gates, scores: attention?.scores, linears } }
}

type KeysAndPositions = { value: tf.Tensor; key: NormedQueryKey; rope: RotaryTable | undefined }

function attend(ops: Operations, layer: Attention, x: tf.Tensor, { value, key, rope }: KeysAndPositions) {
  const { y, saved } = ops.linear(layer.query, x, tokensToFeatures)
  const query = ops.normalizeQueryKey(y)
  const transforms = queryKeyTransforms(layer, rope)
  const { y: attended, saved: savedScores } = ops.attention({
    query: ops.scaleAndRotate(query, layer.heads, transforms.query),
    key: ops.scaleAndRotate(key, layer.heads, transforms.key),
    value,
  })
  return { attended, scores: { query, saved: savedScores }, linear: saved }
}

/**
 * What normed queries and keys are multiplied with: the weights of their norms and 1 / √d. Without rotary positions all of it is applied to the queries,
 * which are usually fewer than the keys.
 */
function queryKeyTransforms(
  { queryNorm, keyNorm, heads }: Attention,
  rope: RotaryTable | undefined,
): { query: QueryKeyTransform; key: QueryKeyTransform } {
  const scoreScale = Math.sqrt(heads / queryNorm.size)
  const column = (scale: tf.Tensor) => tf.reshape(scale, [-1, 1])
  if (!rope) return { query: { scale: column(tf.mul(tf.mul(queryNorm, keyNorm), scoreScale)) }, key: {} }
  return { query: { scale: column(tf.mul(queryNorm, scoreScale)), rope }, key: { scale: column(keyNorm), rope } }
}

export type AttentionBackwardInputs = {
  dy: tf.Tensor
  x: tf.Tensor
  context: tf.Tensor
  rope?: RotaryTable | undefined
  keyValue: KeyValue
  saved: SavedAttention
  /** False for the context of the captions, before which nothing is trained. */
  needsContextGradient: boolean
}

export type AttentionGradient = {
  /** To be added up: the gradients of x through queries and gates, and of the context through keys and values. */
  dx: tf.Tensor2D[]
  dContext: tf.Tensor2D[]
  /** The gradients of the LoRA factors of key, query, value and output. */
  factors: tf.Tensor2D[]
}

/**
 * The gradients of `attention`. dy and x are matrices `[N, D]`, the context `[S, D]`. The gradients of the factors are in the order key, query, value,
 * output, loraA before loraB.
 */
export function attentionGradient(
  ops: Operations,
  layer: Attention,
  { dy, x, context, rope, keyValue, saved, needsContextGradient }: AttentionBackwardInputs,
): AttentionGradient {
  const { attended, gates, scores, linears } = saved
  const output = ops.linearGradient(layer.output, {
    ...{ x: ops.gateHeads(attended, gates), dy, saved: linears.output, needsInputGradient: true },
    ...featuresToTokens,
  })
  const { dHeads, dLogits, sums } = ops.gateHeadsGradient(output.dx as tf.Tensor, attended, gates)
  const throughGate =
    dLogits &&
    ops.linearGradient(layer.gate as Linear, {
      ...{ x, dy: dLogits, saved: {}, needsInputGradient: true },
      ...tokensToFeatures,
    })
  const dx = throughGate ? [throughGate.dx as tf.Tensor2D] : []

  const backward = (name: 'query' | 'key' | 'value', dy: tf.Tensor) =>
    ops.linearGradient(layer[name], {
      x: name === 'query' ? x : context,
      dy,
      saved: (name === 'query' ? linears.query : keyValue.saved[name]) as SavedLinear,
      ...tokensToFeatures,
      needsInputGradient: name === 'query' || needsContextGradient,
    })
  const { value, key } = keyValue
  if (!scores || !key) {
    const dValue = backward('value', ops.joinHeads(dHeads))
    return {
      dx,
      dContext: dValue.dx ? [dValue.dx] : [],
      factors: [...zeroFactors(layer.key), ...zeroFactors(layer.query), ...dValue.factors, ...output.factors],
    }
  }

  const { query } = scores
  const transforms = queryKeyTransforms(layer, rope)
  const isNeeded = (name: 'key' | 'value') => needsContextGradient || layer[name].lora !== undefined
  const gradients = ops.attentionGradient({
    query: ops.scaleAndRotate(query, layer.heads, transforms.query),
    key: ops.scaleAndRotate(key, layer.heads, transforms.key),
    ...{ value, saved: scores.saved, dy: dHeads, sums, needs: { key: isNeeded('key'), value: isNeeded('value') } },
  })
  const queryGrad = backward('query', ops.scaleAndRotateGradient(gradients.query, query, transforms.query))
  const keyGrad = gradients.key && backward('key', ops.scaleAndRotateGradient(gradients.key, key, transforms.key))
  const valueGrad = gradients.value && backward('value', ops.joinHeads(gradients.value))
  return {
    dx: [...dx, queryGrad.dx as tf.Tensor2D],
    dContext: [keyGrad?.dx, valueGrad?.dx].filter((gradient) => gradient !== undefined),
    factors: [...(keyGrad?.factors ?? []), ...queryGrad.factors, ...(valueGrad?.factors ?? []), ...output.factors],
  }
}

/** The gradients of a layer that was not used. */
const zeroFactors = ({ lora }: Linear): tf.Tensor2D[] => (lora ? [tf.zerosLike(lora.a), tf.zerosLike(lora.b)] : [])
