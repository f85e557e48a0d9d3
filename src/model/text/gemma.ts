/**
 * Gemma 3's text tower, of which LTX reads every hidden state (reference §5.3). The real one has 12 billion weights, so one layer at a time is
 * read from disk, applied to all captions, and dropped.
 */

import { basename } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { castInPlace, constant } from '../../engine/device-tensors.ts'
import { toBfloat16, toFloat32 } from '../../formats/dtypes.ts'
import type { Safetensors } from '../../formats/safetensors.ts'
import { openShards } from '../../formats/shards.ts'
import { UserError } from '../../platform/errors.ts'
import { gelu, type Linear, linear, loadLinear } from '../layers.ts'
import { type Weights, weightsOf } from '../weights.ts'
import {
  type GemmaAttention,
  type GemmaNorm,
  gemmaAttention,
  gemmaNorm,
  loadGemmaAttention,
  loadGemmaNorm,
  type PositionTables,
  positionTables,
  truncatePositions,
} from './gemma-attention.ts'
import { type GemmaConfig, type LayerKind, readGemmaConfig } from './gemma-folder.ts'

/** Open files and no tensors. */
export type Gemma = { folder: string; file: Safetensors; prefix: string; config: GemmaConfig; close(): void }

/** The tower's outer name differs between exports. */
const prefixes = ['language_model.model.', 'model.language_model.', 'model.']

/** @throws UserError when the folder does not hold a Gemma 3. */
export function openGemma(folder: string): Gemma {
  const config = readGemmaConfig(folder)
  const file = openShards(folder)
  const prefix = prefixes.find((start) => file.tensors.has(`${start}embed_tokens.weight`))
  const stored = prefix === undefined ? 0 : weightsOf(file, prefix).count('layers')
  if (prefix !== undefined && stored === config.layers.length)
    return { folder, file, prefix, config, close: file.close }
  file.close()
  throw new UserError(
    prefix === undefined
      ? `the text encoder folder ${folder} has no weights of a Gemma 3 text tower`
      : `the text encoder ${basename(folder)} has ${stored} layers, but its config.json names ${config.layers.length}`,
    { hint: 'download the text encoder again, or name the folder of another Gemma 3' },
  )
}

/**
 * The hidden states of all captions, one level after another: the scaled embeddings, then the output of each layer, the last one after the
 * final norm. A level is one `[S, D]` per caption and lives until the next is asked for.
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
      for (const matrix of frozenMatrices(layer)) castInPlace(matrix)
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

/** A caption's rows of the embedding table, times the multiplier that the tower was trained with: sqrt(D) rounded to bfloat16. */
function embed({ file, prefix, config }: Gemma, ids: number[]): tf.Tensor2D {
  const rows = constant<tf.Rank.R2>(embeddingRows(file, `${prefix}embed_tokens.weight`, ids))
  const [multiplier] = toFloat32(toBfloat16(Float32Array.of(Math.sqrt(config.hiddenSize))), 'BF16')
  const scaled = tf.mul<tf.Tensor2D>(rows, multiplier as number)
  rows.dispose()
  return scaled
}

function embeddingRows(file: Safetensors, name: string, ids: number[]) {
  const rows = file.tensors.get(name)?.shape[0] ?? 0
  const beyond = ids.find((id) => id >= rows)
  if (beyond === undefined) return file.readRows(name, ids)
  throw new UserError(
    `the tokenizer gives the token ${beyond}, but ${basename(file.path)} has embeddings for ${rows}`,
    {
      hint: "use the text encoder's own tokenizer.json",
    },
  )
}

/** One layer of the text tower: attention and a gated feed-forward, each normalised before and after (reference §5.3). */

export type GemmaLayer = {
  attention: GemmaAttention
  feedForward: { gate: Linear; up: Linear; down: Linear }
  inputNorm: GemmaNorm
  postAttentionNorm: GemmaNorm
  preFeedForwardNorm: GemmaNorm
  postFeedForwardNorm: GemmaNorm
}

export function loadGemmaLayer(weights: Weights, config: GemmaConfig): GemmaLayer {
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

/** The layer's matrices, each of which is multiplied with every caption before the layer goes. */
export const frozenMatrices = ({
  attention: { query, key, value, output },
  feedForward: { gate, up, down },
}: GemmaLayer) => [query, key, value, output, gate, up, down].map(({ weight }) => weight)

/** `[S, D] → [S, D]`, one caption. */
export function gemmaLayer(layer: GemmaLayer, x: tf.Tensor2D, positions: PositionTables): tf.Tensor2D {
  const attended = gemmaAttention(layer.attention, gemmaNorm(layer.inputNorm, x), positions)
  const middle = tf.add<tf.Tensor2D>(x, gemmaNorm(layer.postAttentionNorm, attended))
  const fed = gatedFeedForward(layer.feedForward, gemmaNorm(layer.preFeedForwardNorm, middle))
  return tf.add(middle, gemmaNorm(layer.postFeedForwardNorm, fed))
}

const gatedFeedForward = ({ gate, up, down }: GemmaLayer['feedForward'], x: tf.Tensor2D) =>
  linear(down, tf.mul(gelu(linear(gate, x)), linear(up, x)))
