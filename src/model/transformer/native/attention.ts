/**
 * Attention of a block and its gradient by hand. Queries, keys and values are `[D, N]`: as `[H, d, N]` their heads are a stack of matrices without
 * any transpose. Norms and softmax are float32.
 */
import * as tf from '@tensorflow/tfjs'
import { mul, narrow, reshape, stackMatMul, sub, wide } from '../../../engine/ops.ts'
import type { Attention } from '../../attention.ts'
import { inverseRms, type KeptLinear, linear, linearGradient, normGradient } from './layers.ts'

/** Cosines and sines `[H, d / 2, N]`. */
export type Turn = { cos: tf.Tensor; sin: tf.Tensor }

/** What tokens attend to: values `[H, d, S]` and, unless every token keeps its own value, keys. */
export type Heard = { value: tf.Tensor; key?: Side | undefined; linears: { value: KeptLinear; key?: KeptLinear } }

export type KeptAttention = {
  mixed: tf.Tensor
  gates?: tf.Tensor | undefined
  weights?: { query: Side; probabilities: tf.Tensor } | undefined
  linears: { query?: KeptLinear; output: KeptLinear }
}

/** One factor of the scores, normed `[D, N]`, and the inverse RMS it had. */
type Side = { inverse: tf.Tensor; normed: tf.Tensor }

const inward = { from: 'tokens', to: 'features' } as const
const outward = { from: 'features', to: 'tokens' } as const

/** Keys and values of a context `[S, D]`. */
export function hear(layer: Attention, context: tf.Tensor, { passValues }: { passValues: boolean }): Heard {
  const { y, kept } = linear(layer.value, context, inward)
  const value = reshape(y, [layer.heads, (y.shape[0] as number) / layer.heads, -1])
  if (passValues) return { value, linears: { value: kept } }
  const key = linear(layer.key, context, inward)
  return { value, key: side(key.y), linears: { value: kept, key: key.kept } }
}

/** `[N, D] → [N, D]`; without keys, every token keeps its own value. */
export function attention(
  layer: Attention,
  x: tf.Tensor,
  { value, key }: Heard,
  turn?: Turn | undefined,
): { y: tf.Tensor2D; kept: KeptAttention } {
  const scored = key && attend(layer, x, { value, key }, turn)
  const mixed = scored?.mixed ?? value
  const gates = layer.gate && headGates(layer.gate, x)
  const output = linear(layer.output, openedBy(gates, mixed), outward)
  const linears = { ...(scored && { query: scored.linear }), output: output.kept }
  return { y: output.y, kept: { mixed, gates, weights: scored?.weights, linears } }
}

function attend(layer: Attention, x: tf.Tensor, { value, key }: { value: tf.Tensor; key: Side }, turn?: Turn) {
  const { heads } = layer
  const { y, kept } = linear(layer.query, x, inward)
  const query = side(y)
  const gains = gainsOf(layer, turn !== undefined)
  const turnedQuery = factor(query, heads, gains.query, turn)
  const scores = stackMatMul(turnedQuery, factor(key, heads, gains.key, turn), { transposeA: true })
  const probabilities = narrow(tf.softmax(wide(scores)))
  const mixed = stackMatMul(value, probabilities, { transposeB: true })
  return { mixed, weights: { query, probabilities }, linear: kept }
}

/**
 * The weights of the two norms and the scale of the scores, `[D, 1]`. Without rotary positions both weights may stand on the side of the queries,
 * which are the fewer.
 */
function gainsOf({ queryNorm, keyNorm, heads }: Attention, turns: boolean) {
  const scale = Math.sqrt(heads / queryNorm.size)
  const column = (gain: tf.Tensor) => tf.reshape(gain, [-1, 1])
  if (turns) return { query: column(tf.mul(queryNorm, scale)), key: column(keyNorm) }
  return { query: column(tf.mul(tf.mul(queryNorm, keyNorm), scale)) }
}

function side(y: tf.Tensor): Side {
  const inverse = inverseRms(wide(y), 0)
  return { inverse, normed: narrow(tf.mul(wide(y), inverse)) }
}

/** Gain and rotation of what is normed, as the scores are multiplied from it: `[D, N] → [H, d, N]`. */
function factor({ normed }: Side, heads: number, gain: tf.Tensor | undefined, turn: Turn | undefined): tf.Tensor {
  const [width, tokens] = normed.shape as [number, number]
  const stack = (x: tf.Tensor) => reshape(x, [heads, width / heads, tokens])
  if (!gain) return stack(normed)
  const gained = stack(tf.mul(wide(normed), gain))
  return narrow(turn ? turned(gained, turn) : gained)
}

function sideGradient(
  dTurned: tf.Tensor,
  { inverse, normed }: Side,
  gain: tf.Tensor | undefined,
  turn: Turn | undefined,
): tf.Tensor {
  const back = turn ? turned(wide(dTurned), { cos: turn.cos, sin: tf.neg(turn.sin) }) : wide(dTurned)
  const flat = tf.reshape(back, normed.shape)
  return narrow(normGradient(gain ? tf.mul(flat, gain) : flat, wide(normed), inverse, 0))
}

/** The first half of a head's features turned against the second, `[H, d, N]`. */
function turned(x: tf.Tensor, { cos, sin }: Turn): tf.Tensor {
  const [a, b] = tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor]
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], 1)
}

/** 2 · sigmoid(logits): `[N, D] → [H, 1, N]`. */
function headGates(gate: NonNullable<Attention['gate']>, x: tf.Tensor): tf.Tensor {
  const { y } = linear(gate, x, inward)
  return narrow(tf.expandDims(tf.mul(tf.sigmoid(wide(y)), 2), 1))
}

/** `[H, d, N] → [D, N]`. */
function openedBy(gates: tf.Tensor | undefined, mixed: tf.Tensor): tf.Tensor {
  const [heads, headDim, tokens] = mixed.shape as [number, number, number]
  return reshape(gates ? mul(mixed, gates) : mixed, [heads * headDim, tokens])
}

export type AttentionGradient = {
  /** What comes through queries and gates, and what comes through keys and values. */
  dx: tf.Tensor2D[]
  dContext: tf.Tensor2D[]
  /** In the order query, key, value, output. */
  factors: tf.Tensor2D[]
}

export type AttentionInput = { x: tf.Tensor; context: tf.Tensor; turn?: Turn | undefined }

/** @param wantsContext whether a gradient is wanted for the context; that of the captions is not trained. */
export function attentionGradient(
  layer: Attention,
  dy: tf.Tensor,
  { x, context, turn }: AttentionInput,
  { value, key, linears: heard }: Heard,
  { mixed, gates, weights, linears }: KeptAttention,
  wantsContext: boolean,
): AttentionGradient {
  const gated = openedBy(gates, mixed)
  const output = linearGradient(layer.output, { x: gated, dy, kept: linears.output, ...outward, wantsInput: true })
  const dGated = reshape(output.dx as tf.Tensor, mixed.shape)
  const products = wide(mul(dGated, mixed))
  const dGates = tf.sum(products, 1, true) // [H, 1, N]
  const dMixed = gates ? mul(dGated, gates) : dGated
  const dx: tf.Tensor2D[] = []
  if (gates && layer.gate) {
    const open = wide(gates)
    const dLogits = tf.mul(dGates, tf.mul(open, tf.sub(1, tf.div(open, 2))))
    const dy = narrow(tf.squeeze<tf.Tensor2D>(dLogits, [1]))
    const { dx: dGate } = linearGradient(layer.gate, { x, dy, kept: {}, ...inward, wantsInput: true })
    dx.push(dGate as tf.Tensor2D)
  }
  const back = (name: 'query' | 'key' | 'value', dy: tf.Tensor) =>
    linearGradient(layer[name], {
      x: name === 'query' ? x : context,
      dy: reshape(dy, [layer[name].weight.shape[0], -1]),
      kept: (name === 'query' ? linears.query : heard[name]) as KeptLinear,
      ...inward,
      wantsInput: name === 'query' || wantsContext,
    })
  if (!weights || !key) {
    const values = back('value', dMixed)
    return {
      dx,
      dContext: values.dx ? [values.dx] : [],
      factors: [...untouched(layer.query), ...untouched(layer.key), ...values.factors, ...output.factors],
    }
  }

  const { query, probabilities } = weights
  const dValue = stackMatMul(dMixed, probabilities)
  // the rows' sums of dP · P, without computing it: those of dO · O
  const sums = reshape(narrow(gates ? tf.mul(dGates, wide(gates)) : dGates), [layer.heads, -1, 1])
  const dScores = mul(sub(stackMatMul(dMixed, value, { transposeA: true }), sums), probabilities)
  const gains = gainsOf(layer, turn !== undefined)
  const [q, k] = [factor(query, layer.heads, gains.query, turn), factor(key, layer.heads, gains.key, turn)]
  const dQuery = sideGradient(stackMatMul(k, dScores, { transposeB: true }), query, gains.query, turn)
  const queries = back('query', dQuery)
  dx.push(queries.dx as tf.Tensor2D)
  const wants = (name: 'key' | 'value') => wantsContext || layer[name].lora !== undefined
  const keys = wants('key') ? back('key', sideGradient(stackMatMul(q, dScores), key, gains.key, turn)) : { factors: [] }
  const values = wants('value') ? back('value', dValue) : { factors: [] }
  const dContext = [keys, values].flatMap((gradient) => ('dx' in gradient && gradient.dx ? [gradient.dx] : []))
  return { dx, dContext, factors: [...queries.factors, ...keys.factors, ...values.factors, ...output.factors] }
}

/** Layers that a pass left out have a gradient of zero. */
const untouched = ({ lora }: Attention['query']): tf.Tensor2D[] =>
  lora ? [tf.zerosLike(lora.a as tf.Tensor2D), tf.zerosLike(lora.b as tf.Tensor2D)] : []
