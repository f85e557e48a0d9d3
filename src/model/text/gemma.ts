/**
 * Gemma 3's text tower, of which LTX reads every hidden state (reference §5.3). The real one has 12 billion weights, so one layer at a time is
 * read from disk, applied to all captions, and dropped.
 */
import { basename } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { gelu, rmsNorm, rotateHalves } from '../../engine/activations.ts'
import { castInPlace, constant } from '../../engine/device-tensors.ts'
import { matMul } from '../../engine/matmul.ts'
import { toBfloat16, toFloat32 } from '../../formats/dtypes.ts'
import type { Safetensors } from '../../formats/safetensors.ts'
import { openShards } from '../../formats/shards.ts'
import { UserError } from '../../platform/errors.ts'
import { type Linear, linear, loadLinear } from '../layers.ts'
import type { RopeTable } from '../rope.ts'
import { type Weights, weightsOf } from '../weights.ts'
import { type GemmaConfig, type LayerKind, readGemmaConfig } from './gemma-folder.ts'

/** The open weight files; no tensors are loaded. */
export type Gemma = { folder: string; file: Safetensors; prefix: string; config: GemmaConfig; close(): void }

/** The prefix of the tower's tensors differs between exports. */
const prefixes = ['language_model.model.', 'model.language_model.', 'model.']

/** Opens the weight files of a text encoder. @throws UserError when the folder does not contain a Gemma 3. */
export function openGemma(folder: string): Gemma {
  const config = readGemmaConfig(folder)
  const file = openShards(folder)
  const prefix = prefixes.find((start) => file.tensors.has(`${start}embed_tokens.weight`))
  const storedLayers = prefix === undefined ? 0 : weightsOf(file, prefix).count('layers')
  if (prefix !== undefined && storedLayers === config.layers.length)
    return { folder, file, prefix, config, close: file.close }
  file.close()
  throw new UserError(
    prefix === undefined
      ? `the text encoder folder ${folder} has no weights of a Gemma 3 text tower`
      : `the text encoder ${basename(folder)} has ${storedLayers} layers, but its config.json lists ${config.layers.length}`,
    { hint: 'download the text encoder again, or pass the folder of another Gemma 3' },
  )
}

/**
 * The hidden states of all captions, one after another: the scaled embeddings, then the output of every layer, the last of them after the final norm.
 * Each is one `[S, D]` per caption and is disposed of when the next one is requested.
 * @param captions token ids.
 */
export function* hiddenStates(gemma: Gemma, captions: readonly number[][]): Generator<tf.Tensor2D[], void, undefined> {
  const { file, prefix, config } = gemma
  const weights = weightsOf(file, prefix)
  const longest = Math.max(...captions.map((ids) => ids.length))
  const positions: Record<LayerKind, PositionTables> = {
    sliding_attention: positionTables(config, 'sliding_attention', longest),
    full_attention: positionTables(config, 'full_attention', longest),
  }
  const finalNorm = loadGemmaNorm(weights.at('norm'), config.hiddenSize, config.normEpsilon)
  let hidden = captions.map((ids) => embed(gemma, ids))
  try {
    yield hidden
    for (const [i, kind] of config.layers.entries()) {
      const layer = loadGemmaLayer(weights.at(`layers.${i}`), config)
      for (const matrix of layerMatrices(layer)) castInPlace(matrix)
      const isLast = i === config.layers.length - 1
      const next = hidden.map((x) =>
        tf.tidy(() => {
          const output = gemmaLayer(layer, x, truncatePositions(positions[kind], x.shape[0]))
          return isLast ? gemmaNorm(finalNorm, output) : output
        }),
      )
      tf.dispose([layer, hidden])
      hidden = next
      yield hidden
    }
  } finally {
    tf.dispose([hidden, positions, finalNorm])
  }
}

/** The embeddings of a caption, times √D rounded to bfloat16, as the tower was trained: `[S, D]`. */
function embed({ file, prefix, config }: Gemma, ids: number[]): tf.Tensor2D {
  const rows = constant<tf.Rank.R2>(embeddingRows(file, `${prefix}embed_tokens.weight`, ids))
  const [multiplier] = toFloat32(toBfloat16(Float32Array.of(Math.sqrt(config.hiddenSize))), 'BF16')
  const scaled = tf.mul<tf.Tensor2D>(rows, multiplier as number)
  rows.dispose()
  return scaled
}

function embeddingRows(file: Safetensors, name: string, ids: number[]) {
  const rows = file.tensors.get(name)?.shape[0] ?? 0
  const unknownId = ids.find((id) => id >= rows)
  if (unknownId === undefined) return file.readRows(name, ids)
  throw new UserError(
    `the tokenizer produces token ${unknownId}, but ${basename(file.path)} has embeddings for only ${rows} tokens`,
    { hint: 'use the tokenizer.json that belongs to this text encoder' },
  )
}

/** A layer (reference §5.3): causal attention with fewer key and value heads than query heads, and a gated feed-forward, both with norms before and after. */
type GemmaLayer = {
  attention: GemmaAttention
  feedForward: { gate: Linear; up: Linear; down: Linear }
  inputNorm: GemmaNorm
  postAttentionNorm: GemmaNorm
  preFeedForwardNorm: GemmaNorm
  postFeedForwardNorm: GemmaNorm
}

function loadGemmaLayer(weights: Weights, config: GemmaConfig): GemmaLayer {
  const { hiddenSize, normEpsilon } = config
  const [inner] = weights.shape('mlp.gate_proj.weight') as [number]
  const norm = (name: string) => loadGemmaNorm(weights.at(name), hiddenSize, normEpsilon)
  return {
    attention: loadGemmaAttention(weights.at('self_attn'), config),
    feedForward: {
      gate: loadLinear(weights.at('mlp.gate_proj'), hiddenSize, inner),
      up: loadLinear(weights.at('mlp.up_proj'), hiddenSize, inner),
      down: loadLinear(weights.at('mlp.down_proj'), inner, hiddenSize),
    },
    inputNorm: norm('input_layernorm'),
    postAttentionNorm: norm('post_attention_layernorm'),
    preFeedForwardNorm: norm('pre_feedforward_layernorm'),
    postFeedForwardNorm: norm('post_feedforward_layernorm'),
  }
}

/** The weights of the layer's seven linear layers. */
const layerMatrices = ({ attention: { query, key, value, output }, feedForward: { gate, up, down } }: GemmaLayer) =>
  [query, key, value, output, gate, up, down].map(({ weight }) => weight)

/** One caption: `[S, D] → [S, D]`. */
function gemmaLayer(layer: GemmaLayer, x: tf.Tensor2D, positions: PositionTables): tf.Tensor2D {
  const attnOutput = gemmaAttention(layer.attention, gemmaNorm(layer.inputNorm, x), positions)
  const afterAttn = tf.add<tf.Tensor2D>(x, gemmaNorm(layer.postAttentionNorm, attnOutput))
  const ffOutput = gatedFeedForward(layer.feedForward, gemmaNorm(layer.preFeedForwardNorm, afterAttn))
  return tf.add(afterAttn, gemmaNorm(layer.postFeedForwardNorm, ffOutput))
}

/** down(gelu(gate(x)) · up(x)). */
const gatedFeedForward = ({ gate, up, down }: GemmaLayer['feedForward'], x: tf.Tensor2D) =>
  linear(down, tf.mul(gelu(linear(gate, x)), linear(up, x)))

type GemmaAttention = {
  query: Linear
  key: Linear
  value: Linear
  output: Linear
  queryNorm: GemmaNorm
  keyNorm: GemmaNorm
  headDim: number
  scoreScale: number
}

function loadGemmaAttention(weights: Weights, config: GemmaConfig): GemmaAttention {
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

/** Every token attends to itself and to earlier tokens: `[S, D] → [S, D]`. */
function gemmaAttention(layer: GemmaAttention, x: tf.Tensor2D, { rope, mask }: PositionTables): tf.Tensor2D {
  const { headDim, scoreScale } = layer
  const tokens = x.shape[0]
  const query = rotateHalves(gemmaNorm(layer.queryNorm, splitHeads(linear(layer.query, x), headDim)), rope, -1)
  const key = rotateHalves(gemmaNorm(layer.keyNorm, splitHeads(linear(layer.key, x), headDim)), rope, -1)
  const value = splitHeads(linear(layer.value, x), headDim)
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

/** Gemma's RMS norm, rms(x) · (1 + w). `scale` is 1 + w. */
type GemmaNorm = { scale: tf.Tensor1D; epsilon: number }

const loadGemmaNorm = (weights: Weights, width: number, epsilon: number): GemmaNorm => ({
  scale: tf.tensor1d(weights.float32('weight', [width]).map((w) => 1 + w)),
  epsilon,
})

/** Over the last axis. */
const gemmaNorm = <T extends tf.Tensor>({ scale, epsilon }: GemmaNorm, x: T): T => tf.mul(rmsNorm(x, epsilon), scale)

/** The rotary table is the same for all heads, `[1, 1, S, headDim / 2]`. The mask is added to the scores, `[S, S]`. */
type PositionTables = { rope: RopeTable; mask: tf.Tensor2D }

/**
 * For the positions 0 … `tokens` − 1. Attention depends only on the differences of positions, so the padding that the reference implementation puts
 * before a caption is left out.
 */
export function positionTables(config: GemmaConfig, kind: LayerKind, tokens: number): PositionTables {
  const window = kind === 'sliding_attention' ? config.slidingWindow : Number.POSITIVE_INFINITY
  return { rope: gemmaRope(config, kind, tokens), mask: causalMask(tokens, window) }
}

/** The tables of a shorter caption. */
export function truncatePositions({ rope, mask }: PositionTables, tokens: number): PositionTables {
  const rows = (table: tf.Tensor4D) => tf.slice(table, [0, 0, 0, 0], [1, 1, tokens, -1])
  return { rope: { cos: rows(rope.cos), sin: rows(rope.sin) }, mask: tf.slice(mask, [0, 0], [tokens, tokens]) }
}

/** angle_j = position / factor · theta^(−2j / d). */
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

/** 0 where a token (row) may attend to another (column), otherwise −∞. */
function causalMask(tokens: number, window: number): tf.Tensor2D {
  const mask = new Float32Array(tokens * tokens).fill(Number.NEGATIVE_INFINITY)
  for (let token = 0; token < tokens; token++)
    mask.fill(0, token * tokens + Math.max(0, token - window + 1), token * tokens + token + 1)
  return tf.tensor2d(mask, [tokens, tokens])
}
