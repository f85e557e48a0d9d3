/**
 * Attention of the native block, with its gradient written by hand. Queries, keys and values are `[D, N]`: reshaped to `[H, d, N]`, the heads are a
 * stack of matrices without any transpose. Norms and softmax are float32.
 */
import * as tf from '@tensorflow/tfjs'
import { batchMatMul, mul, reshape, sub, toComputeDtype, toFloat32 } from '../../../engine/native-ops.ts'
import type { Attention } from '../../attention.ts'
import type { Linear } from '../../layers.ts'
import { inverseRms, linear, linearGradient, rmsNormGradient, type SavedLinear } from './layers.ts'

/** Cosines and sines, `[H, d / 2, N]`. */
export type NativeRopeTable = { cos: tf.Tensor; sin: tf.Tensor }

/** Values `[H, d, S]` and keys of what is attended to. There are no keys where self-attention is skipped. */
export type KeyValue = {
  value: tf.Tensor
  key?: NormedHeads | undefined
  saved: { value: SavedLinear; key?: SavedLinear }
}

export type SavedAttention = {
  /** `[H, d, N]`, before the gates. */
  attended: tf.Tensor
  gates?: tf.Tensor | undefined
  scores?: { query: NormedHeads; probabilities: tf.Tensor } | undefined
  linears: { query?: SavedLinear; output: SavedLinear }
}

/** Queries or keys after the RMS norm, without its weight, `[D, N]`, and the inverse RMS of each token, `[1, N]`. */
type NormedHeads = { normed: tf.Tensor; inverse: tf.Tensor }

const tokensToFeatures = { from: 'tokens', to: 'features' } as const
const featuresToTokens = { from: 'features', to: 'tokens' } as const

/** Keys and values of a context `[S, D]`. */
export function projectKeyValue(layer: Attention, context: tf.Tensor, skipSelfAttention = false): KeyValue {
  const { y, saved } = linear(layer.value, context, tokensToFeatures)
  const value = reshape(y, [layer.heads, (y.shape[0] as number) / layer.heads, -1])
  if (skipSelfAttention) return { value, saved: { value: saved } }
  const key = linear(layer.key, context, tokensToFeatures)
  return { value, key: qkRmsNorm(key.y), saved: { value: saved, key: key.saved } }
}

/** `[N, D] → [N, D]`. Without keys, every token gets its own value. */
export function attention(
  layer: Attention,
  x: tf.Tensor,
  { value, key }: KeyValue,
  rope?: NativeRopeTable | undefined,
): { y: tf.Tensor2D; saved: SavedAttention } {
  const attention = key && attend(layer, x, value, key, rope)
  const attended = attention?.attended ?? value
  const gates = layer.gate && headGates(layer.gate, x)
  const output = linear(layer.output, applyHeadGates(gates, attended), featuresToTokens)
  const linears = { ...(attention && { query: attention.linear }), output: output.saved }
  return { y: output.y, saved: { attended, gates, scores: attention?.scores, linears } }
}

function attend(layer: Attention, x: tf.Tensor, value: tf.Tensor, key: NormedHeads, rope?: NativeRopeTable) {
  const { heads } = layer
  const { y, saved } = linear(layer.query, x, tokensToFeatures)
  const query = qkRmsNorm(y)
  const scales = qkNormScales(layer, rope !== undefined)
  const q = scaleAndRotate(query, heads, scales.query, rope)
  const k = scaleAndRotate(key, heads, scales.key, rope)
  const probabilities = toComputeDtype(tf.softmax(toFloat32(batchMatMul(q, k, { transposeA: true }))))
  const attended = batchMatMul(value, probabilities, { transposeB: true })
  return { attended, scores: { query, probabilities }, linear: saved }
}

function qkRmsNorm(y: tf.Tensor): NormedHeads {
  const inverse = inverseRms(toFloat32(y), 0)
  return { inverse, normed: toComputeDtype(tf.mul(toFloat32(y), inverse)) }
}

/**
 * What normed queries and keys are multiplied with, `[D, 1]`: the weights of their norms and 1 / √d. Without rotary positions all of it is applied to
 * the queries, which are fewer than the keys.
 */
function qkNormScales({ queryNorm, keyNorm, heads }: Attention, hasRope: boolean) {
  const scoreScale = Math.sqrt(heads / queryNorm.size)
  const column = (scale: tf.Tensor) => tf.reshape(scale, [-1, 1])
  if (hasRope) return { query: column(tf.mul(queryNorm, scoreScale)), key: column(keyNorm) }
  return { query: column(tf.mul(tf.mul(queryNorm, keyNorm), scoreScale)) }
}

/** Normed queries or keys as they are multiplied for the scores: `[D, N] → [H, d, N]`. */
function scaleAndRotate(
  { normed }: NormedHeads,
  heads: number,
  scale: tf.Tensor | undefined,
  rope: NativeRopeTable | undefined,
): tf.Tensor {
  const [width, tokens] = normed.shape as [number, number]
  const splitHeads = (x: tf.Tensor) => reshape(x, [heads, width / heads, tokens])
  if (!scale) return splitHeads(normed)
  const scaled = splitHeads(tf.mul(toFloat32(normed), scale))
  return toComputeDtype(rope ? rotate(scaled, rope) : scaled)
}

/** The gradient of queries or keys before their norm, `[D, N]`. @param dy the gradient of what `scaleAndRotate` returned. */
function scaleAndRotateGradient(
  dy: tf.Tensor,
  { normed, inverse }: NormedHeads,
  scale: tf.Tensor | undefined,
  rope: NativeRopeTable | undefined,
): tf.Tensor {
  const dScaled = rope ? rotate(toFloat32(dy), { cos: rope.cos, sin: tf.neg(rope.sin) }) : toFloat32(dy)
  const joined = tf.reshape(dScaled, normed.shape)
  return toComputeDtype(rmsNormGradient(scale ? tf.mul(joined, scale) : joined, toFloat32(normed), inverse, 0))
}

/** The rotation of `applyRope` for heads `[H, d, N]`. */
function rotate(x: tf.Tensor, { cos, sin }: NativeRopeTable): tf.Tensor {
  const [a, b] = tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor]
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], 1)
}

/** 2 · sigmoid(logits): `[N, D] → [H, 1, N]`. */
function headGates(gate: Linear, x: tf.Tensor): tf.Tensor {
  const { y } = linear(gate, x, tokensToFeatures)
  return toComputeDtype(tf.expandDims(tf.mul(tf.sigmoid(toFloat32(y)), 2), 1))
}

/** `[H, d, N] → [D, N]`. */
function applyHeadGates(gates: tf.Tensor | undefined, attended: tf.Tensor): tf.Tensor {
  const [heads, headDim, tokens] = attended.shape as [number, number, number]
  return reshape(gates ? mul(attended, gates) : attended, [heads * headDim, tokens])
}

export type AttentionGradientInputs = {
  dy: tf.Tensor
  x: tf.Tensor
  context: tf.Tensor
  rope?: NativeRopeTable | undefined
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

export function attentionGradient(layer: Attention, inputs: AttentionGradientInputs): AttentionGradient {
  const { dy, x, context, rope, keyValue, saved, needsContextGradient } = inputs
  const { attended, gates, scores, linears } = saved
  const gated = applyHeadGates(gates, attended)
  const output = linearGradient(layer.output, {
    ...{ x: gated, dy, saved: linears.output, needsInputGradient: true },
    ...featuresToTokens,
  })
  const dGated = reshape(output.dx as tf.Tensor, attended.shape)
  const dGates = tf.sum(toFloat32(mul(dGated, attended)), 1, true) // [H, 1, N]
  const dAttended = gates ? mul(dGated, gates) : dGated
  const dx = gates && layer.gate ? [headGatesGradient(layer.gate, dGates, x, gates)] : []

  const backward = (name: 'query' | 'key' | 'value', dy: tf.Tensor) =>
    linearGradient(layer[name], {
      x: name === 'query' ? x : context,
      dy: reshape(dy, [layer[name].weight.shape[0], -1]),
      saved: (name === 'query' ? linears.query : keyValue.saved[name]) as SavedLinear,
      ...tokensToFeatures,
      needsInputGradient: name === 'query' || needsContextGradient,
    })
  const { value, key } = keyValue
  if (!scores || !key) {
    const dValue = backward('value', dAttended)
    return {
      dx,
      dContext: dValue.dx ? [dValue.dx] : [],
      factors: [...zeroFactors(layer.key), ...zeroFactors(layer.query), ...dValue.factors, ...output.factors],
    }
  }

  const { query, probabilities } = scores
  // softmax: dS = P · (dP − Σ dP · P); the sums over keys equal those of dO · O over the features of a head
  const sums = reshape(toComputeDtype(gates ? tf.mul(dGates, toFloat32(gates)) : dGates), [layer.heads, -1, 1])
  const dScores = mul(sub(batchMatMul(dAttended, value, { transposeA: true }), sums), probabilities)
  const scales = qkNormScales(layer, rope !== undefined)
  const q = scaleAndRotate(query, layer.heads, scales.query, rope)
  const k = scaleAndRotate(key, layer.heads, scales.key, rope)
  const isNeeded = (name: 'key' | 'value') => needsContextGradient || layer[name].lora !== undefined
  const dq = batchMatMul(k, dScores, { transposeB: true })
  const queryGrad = backward('query', scaleAndRotateGradient(dq, query, scales.query, rope))
  const keyGrad = isNeeded('key')
    ? backward('key', scaleAndRotateGradient(batchMatMul(q, dScores), key, scales.key, rope))
    : { factors: [] }
  const valueGrad = isNeeded('value') ? backward('value', batchMatMul(dAttended, probabilities)) : { factors: [] }
  return {
    dx: [...dx, queryGrad.dx as tf.Tensor2D],
    dContext: [keyGrad, valueGrad].flatMap((gradient) => ('dx' in gradient && gradient.dx ? [gradient.dx] : [])),
    factors: [...keyGrad.factors, ...queryGrad.factors, ...valueGrad.factors, ...output.factors],
  }
}

/** The gradient of x through gates = 2 · sigmoid(logits), whose derivative is gates · (1 − gates / 2). */
function headGatesGradient(layer: Linear, dGates: tf.Tensor, x: tf.Tensor, gates: tf.Tensor): tf.Tensor2D {
  const float = toFloat32(gates)
  const dLogits = tf.mul(dGates, tf.mul(float, tf.sub(1, tf.div(float, 2))))
  const dy = toComputeDtype(tf.squeeze<tf.Tensor2D>(dLogits, [1]))
  const gradient = linearGradient(layer, { x, dy, saved: {}, ...tokensToFeatures, needsInputGradient: true })
  return gradient.dx as tf.Tensor2D
}

/** The gradients of a layer that was not used. */
const zeroFactors = ({ lora }: Linear): tf.Tensor2D[] => (lora ? [tf.zerosLike(lora.a), tf.zerosLike(lora.b)] : [])
