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
import { weightsOf } from '../weights.ts'
import { type GemmaConfig, type LayerKind, readGemmaConfig } from './gemma-folder.ts'
import {
  gemmaLayer,
  gemmaNorm,
  layerMatrices,
  loadGemmaLayer,
  loadGemmaNorm,
  type PositionTables,
  positionTables,
  truncatePositions,
} from './gemma-layer.ts'

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
