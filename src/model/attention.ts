/** Gated multi-head attention, as the transformer and the text connector use it (reference §6.4). */
import * as tf from '@tensorflow/tfjs'
import { constant } from '../engine/device-tensors.ts'
import { matMul } from '../engine/matmul.ts'
import { type Linear, linearOnTokens, loadLinear, rmsNorm } from './layers.ts'
import { applyRope, type RopeTable } from './rope.ts'
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

export type AttentionOptions = {
  /** Rotary positions of queries and keys. */
  rope?: RopeTable
  /** The perturbation of spatio-temporal guidance: every token gets its own value, as if it attended to itself alone. */
  skipSelfAttention?: boolean
}

/** The tokens x attend to `context`: `[B, N, D], [B, S, D] → [B, N, D]`. The gates depend on x. */
export function attention(
  layer: Attention,
  x: tf.Tensor3D,
  context: tf.Tensor3D,
  { rope, skipSelfAttention }: AttentionOptions = {},
): tf.Tensor3D {
  const value = splitHeads(layer.heads, linearOnTokens(layer.value, context))
  const attended = skipSelfAttention ? value : tf.tidy(() => attend(layer, x, context, value, rope))
  const gated = layer.gate ? tf.mul<tf.Tensor4D>(attended, headGates(layer.gate, x)) : attended
  return linearOnTokens(layer.output, joinHeads(gated))
}

/** softmax(q · kᵀ / √d) · v for every head: `[B, H, N, d]`. */
function attend(
  layer: Attention,
  x: tf.Tensor3D,
  context: tf.Tensor3D,
  value: tf.Tensor4D,
  rope?: RopeTable,
): tf.Tensor4D {
  const normedQuery = tf.mul<tf.Tensor3D>(rmsNorm(linearOnTokens(layer.query, x)), layer.queryNorm)
  const normedKey = tf.mul<tf.Tensor3D>(rmsNorm(linearOnTokens(layer.key, context)), layer.keyNorm)
  const withRope = (heads: tf.Tensor4D) => (rope ? applyRope(heads, rope) : heads)
  const query = withRope(splitHeads(layer.heads, normedQuery))
  const key = withRope(splitHeads(layer.heads, normedKey))
  const [batch, heads, tokens, headDim] = query.shape
  const stack = (y: tf.Tensor4D) => tf.reshape<tf.Rank.R3>(y, [batch * heads, -1, headDim] as never)
  const scores = matMul(stack(tf.mul(query, 1 / Math.sqrt(headDim))), stack(key), { transposeB: true })
  return tf.reshape(matMul(tf.softmax(scores), stack(value)), [batch, heads, tokens, headDim])
}

/** 2 · sigmoid(logits), one gate per head and token: `[B, N, D] → [B, H, N, 1]`. */
const headGates = (gate: Linear, x: tf.Tensor3D): tf.Tensor4D =>
  tf.expandDims(tf.transpose(tf.mul(2, tf.sigmoid(linearOnTokens(gate, x))), [0, 2, 1]), -1)

/** `[B, N, H·d] → [B, H, N, d]`; the features of a head are next to each other. */
const splitHeads = (heads: number, x: tf.Tensor3D): tf.Tensor4D => {
  const [batch, tokens, width] = x.shape
  return tf.transpose(tf.reshape(x, [batch, tokens, heads, width / heads]), [0, 2, 1, 3])
}

/** `[B, H, N, d] → [B, N, H·d]`. */
const joinHeads = (x: tf.Tensor4D): tf.Tensor3D => {
  const [batch, heads, tokens, headDim] = x.shape
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, tokens, heads * headDim])
}
