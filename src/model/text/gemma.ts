/**
 * The text tower of Gemma 3 and Gemma 4, of which LTX reads every hidden state (reference §5.3, §10.2). The real ones have 12 billion weights, so one
 * layer at a time is read from disk, applied to all captions, and dropped.
 */
import { basename } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { gelu } from '../../engine/activations.ts'
import { castInPlace, constant } from '../../engine/device-tensors.ts'
import { toBfloat16, toFloat32 } from '../../formats/dtypes.ts'
import type { Safetensors } from '../../formats/safetensors.ts'
import { UserError } from '../../platform/errors.ts'
import { type Linear, linear, loadLinear } from '../layers.ts'
import { readRows, type Weights, weightsOf } from '../weights.ts'
import {
  type GemmaAttention,
  gemmaAttention,
  loadGemmaAttention,
  type PositionTables,
  positionTables,
  truncatePositions,
} from './gemma-attention.ts'
import type { GemmaConfig, LayerKind } from './gemma-config.ts'
import { type GemmaNorm, gemmaNorm, loadGemmaNorm } from './gemma-norm.ts'
import type { TextEncoder } from './text-encoder.ts'

/**
 * The hidden states of all captions, one after another: the scaled embeddings, then the output of every layer, the last of them after the final norm.
 * Each is one `[S, D]` per caption and is disposed of when the next one is requested.
 * @param captions token ids.
 */
export function* hiddenStates(
  encoder: Pick<TextEncoder, 'weights' | 'prefix' | 'config'>,
  captions: readonly number[][],
): Generator<tf.Tensor2D[], void, undefined> {
  const { config } = encoder
  const weights = weightsOf(encoder.weights, encoder.prefix)
  const longest = Math.max(...captions.map((ids) => ids.length))
  const positions: Record<LayerKind, PositionTables> = {
    sliding_attention: positionTables(config.attention.sliding_attention, longest),
    full_attention: positionTables(config.attention.full_attention, longest),
  }
  const finalNorm = loadGemmaNorm(weights.at('norm'), config.hiddenSize, config)
  let hidden = captions.map((ids) => embed(encoder, ids))
  try {
    yield hidden
    for (const [i, kind] of config.layers.entries()) {
      const layer = loadGemmaLayer(weights.at(`layers.${i}`), config, kind)
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
function embed(
  { weights, prefix, config }: Pick<TextEncoder, 'weights' | 'prefix' | 'config'>,
  ids: number[],
): tf.Tensor2D {
  const rows = constant<tf.Rank.R2>(embeddingRows(weights, `${prefix}embed_tokens.weight`, ids))
  const [multiplier] = toFloat32(toBfloat16(Float32Array.of(Math.sqrt(config.hiddenSize))), 'BF16')
  const scaled = tf.mul<tf.Tensor2D>(rows, multiplier as number)
  rows.dispose()
  return scaled
}

function embeddingRows(file: Safetensors, name: string, ids: number[]) {
  const rows = file.tensors.get(name)?.shape[0] ?? 0
  const unknownId = ids.find((id) => id >= rows)
  if (unknownId === undefined) return readRows(file, name, ids)
  throw new UserError(
    `the tokenizer produces token ${unknownId}, but ${basename(file.path)} has embeddings for only ${rows} tokens`,
    { hint: 'use the tokenizer.json that belongs to this text encoder' },
  )
}

/** A layer: attention and a gated feed-forward, both with norms before and after, times a scalar in Gemma 4. */
type GemmaLayer = {
  attention: GemmaAttention
  feedForward: { gate: Linear; up: Linear; down: Linear }
  inputNorm: GemmaNorm
  postAttentionNorm: GemmaNorm
  preFeedForwardNorm: GemmaNorm
  postFeedForwardNorm: GemmaNorm
  scalar?: tf.Scalar
}

function loadGemmaLayer(weights: Weights, config: GemmaConfig, kind: LayerKind): GemmaLayer {
  const { hiddenSize, scalesLayers } = config
  const [inner] = weights.shape('mlp.gate_proj.weight') as [number]
  const norm = (name: string) => loadGemmaNorm(weights.at(name), hiddenSize, config)
  return {
    attention: loadGemmaAttention(weights.at('self_attn'), config, kind),
    feedForward: {
      gate: loadLinear(weights.at('mlp.gate_proj'), hiddenSize, inner, { hasBias: false }),
      up: loadLinear(weights.at('mlp.up_proj'), hiddenSize, inner, { hasBias: false }),
      down: loadLinear(weights.at('mlp.down_proj'), inner, hiddenSize, { hasBias: false }),
    },
    inputNorm: norm('input_layernorm'),
    postAttentionNorm: norm('post_attention_layernorm'),
    preFeedForwardNorm: norm('pre_feedforward_layernorm'),
    postFeedForwardNorm: norm('post_feedforward_layernorm'),
    ...(scalesLayers && { scalar: tf.scalar(weights.float32('layer_scalar', [1])[0] as number) }),
  }
}

/** The weights of the layer's linear layers. */
const layerMatrices = ({ attention: { query, key, value, output }, feedForward: { gate, up, down } }: GemmaLayer) =>
  [query, key, ...(value ? [value] : []), output, gate, up, down].map(({ weight }) => weight)

/** One caption: `[S, D] → [S, D]`. */
function gemmaLayer(layer: GemmaLayer, x: tf.Tensor2D, positions: PositionTables): tf.Tensor2D {
  const attnOutput = gemmaAttention(layer.attention, gemmaNorm(layer.inputNorm, x), positions)
  const afterAttn = tf.add<tf.Tensor2D>(x, gemmaNorm(layer.postAttentionNorm, attnOutput))
  const ffOutput = gatedFeedForward(layer.feedForward, gemmaNorm(layer.preFeedForwardNorm, afterAttn))
  const output = tf.add<tf.Tensor2D>(afterAttn, gemmaNorm(layer.postFeedForwardNorm, ffOutput))
  return layer.scalar ? tf.mul(output, layer.scalar) : output
}

/** down(gelu(gate(x)) · up(x)). */
const gatedFeedForward = ({ gate, up, down }: GemmaLayer['feedForward'], x: tf.Tensor2D) =>
  linear(down, tf.mul(gelu(linear(gate, x)), linear(up, x)))
