/** Gated multi-head attention as the transformer and the text connector use it (spec §6.4). */
import * as tf from '@tensorflow/tfjs'
import { constant } from '../engine/device-tensors.ts'
import { product } from '../engine/matmul.ts'
import { type Linear, linear, loadLinear, rmsNorm } from './layers.ts'
import { type RopeTable, rotate } from './rope.ts'
import type { Weights } from './weights.ts'

export type Attention = {
  heads: number
  query: Linear
  key: Linear
  value: Linear
  output: Linear
  queryNorm: tf.Tensor1D
  keyNorm: tf.Tensor1D
  gate?: Linear
}

export type AttentionSize = { heads: number; headDim: number; contextWidth?: number }

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
  rotation?: RopeTable
  /** Spatio-temporal guidance's perturbation: every token keeps its own value instead of mixing those of others. */
  passValues?: boolean
}

/** Tokens x attend to `context`: `[B, N, D], [B, S, D] → [B, N, D]`. The gate looks at x. */
export function attention(
  layer: Attention,
  x: tf.Tensor3D,
  context: tf.Tensor3D,
  options: AttentionOptions = {},
): tf.Tensor3D {
  const { rotation, passValues } = options
  const value = splitHeads(layer.heads, onTokens(layer.value, context))
  const mixed = passValues ? value : tf.tidy(() => mix(layer, x, context, value, rotation))
  const gated = layer.gate ? tf.mul<tf.Tensor4D>(mixed, headGates(layer.gate, x)) : mixed
  return onTokens(layer.output, joinHeads(gated))
}

function mix(
  layer: Attention,
  x: tf.Tensor3D,
  context: tf.Tensor3D,
  value: tf.Tensor4D,
  rotation?: RopeTable,
): tf.Tensor4D {
  const normedQuery = tf.mul<tf.Tensor3D>(rmsNorm(onTokens(layer.query, x)), layer.queryNorm)
  const normedKey = tf.mul<tf.Tensor3D>(rmsNorm(onTokens(layer.key, context)), layer.keyNorm)
  const query = splitHeads(layer.heads, normedQuery)
  const key = splitHeads(layer.heads, normedKey)
  const [batch, heads, tokens, headDim] = query.shape
  const stack = (y: tf.Tensor4D) => tf.reshape<tf.Rank.R3>(y, [batch * heads, -1, headDim] as never)
  const turned = rotation ? [rotate(query, rotation), rotate(key, rotation)] : [query, key]
  const [q, k] = turned as [tf.Tensor4D, tf.Tensor4D]
  const scores = product(stack(tf.mul(q, 1 / Math.sqrt(headDim))), stack(k), { transposeB: true })
  return tf.reshape(product(tf.softmax(scores), stack(value)), [batch, heads, tokens, headDim])
}

/** 2 · sigmoid(logits): one factor per head and token, `[B, N, D] → [B, H, N, 1]`. */
const headGates = (gate: Linear, x: tf.Tensor3D): tf.Tensor4D =>
  tf.expandDims(tf.transpose(tf.mul(2, tf.sigmoid(onTokens(gate, x))), [0, 2, 1]), -1)

/** A linear layer over every token: `[B, N, in] → [B, N, out]`. */
export function onTokens(layer: Linear, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, tokens, width] = x.shape
  return tf.reshape(linear(layer, tf.reshape(x, [batch * tokens, width])), [batch, tokens, -1])
}

/** `[B, N, H·d] → [B, H, N, d]`, head-major features. */
const splitHeads = (heads: number, x: tf.Tensor3D): tf.Tensor4D => {
  const [batch, tokens, width] = x.shape
  return tf.transpose(tf.reshape(x, [batch, tokens, heads, width / heads]), [0, 2, 1, 3])
}

/** `[B, H, N, d] → [B, N, H·d]`. */
const joinHeads = (x: tf.Tensor4D): tf.Tensor3D => {
  const [batch, heads, tokens, headDim] = x.shape
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, tokens, heads * headDim])
}
