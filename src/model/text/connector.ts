/**
 * From the hidden states of the text encoder to the context of the audio stream. The feature extractor (reference §5.4) normalizes every hidden state,
 * and one linear layer maps all of them to one feature vector per token. It is computed hidden state by hidden state, so that the 49 states of the
 * released text encoder need not be in memory together. The connector (reference §5.5) is a small bidirectional transformer on these features.
 */
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import { rmsNorm } from '../../engine/activations.ts'
import { currentOperations } from '../../engine/current-operations.ts'
import { castInPlace, constant, frozenMatrix } from '../../engine/device-tensors.ts'
import { matMulFrozen } from '../../engine/matmul.ts'
import type { RotaryTable } from '../../engine/operations.ts'
import { bytesPerElement } from '../../formats/dtypes.ts'
import type { StoredTensor } from '../../formats/safetensors.ts'
import { type Attention, attention, loadAttention, projectKeyValue } from '../attention.ts'
import { connectorBlocks, type TransformerConfig } from '../config.ts'
import { type FeedForward, feedForward, loadFeedForward } from '../feed-forward.ts'
import { ropeTable, tokensLast } from '../rope.ts'
import type { Weights } from '../weights.ts'
import { contextLength } from './tokenizer.ts'

/** The weight is `[D, captionWidth · stateCount]` as stored: hidden state l has the columns d · stateCount + l. */
export type FeatureExtractor = { weight: StoredTensor; bias: tf.Tensor1D; captionWidth: number; stateCount: number }

/** @param weights the component's weights, from `ltxComponents`. The shape of the matrix determines the number of hidden states. */
export function loadFeatureExtractor(weights: Weights, captionWidth: number, width: number): FeatureExtractor {
  const weight = weights.read('audio_aggregate_embed.weight', [width, null])
  const bias = constant<tf.Rank.R1>(weights.read('audio_aggregate_embed.bias', [width]))
  return { weight, bias, captionWidth, stateCount: (weight.shape[1] as number) / captionWidth }
}

/**
 * The features of every caption, `[S, D]`. The event loop runs after each hidden state.
 * @param states for each hidden state one `[S, captionWidth]` per caption, as `hiddenStates` yields them.
 */
export async function extractFeatures(
  extractor: FeatureExtractor,
  states: Iterable<tf.Tensor2D[]>,
  onState: (state: number) => void = () => {},
): Promise<tf.Tensor2D[]> {
  let features: tf.Tensor2D[] | undefined
  let state = 0
  for (const hidden of states) {
    const sums = addHiddenState(extractor, state, hidden, features)
    tf.dispose(features)
    features = sums
    onState(state++)
    await setImmediate()
  }
  return features ?? []
}

function addHiddenState(extractor: FeatureExtractor, state: number, hidden: tf.Tensor2D[], features?: tf.Tensor2D[]) {
  const { weight, bias, captionWidth, stateCount } = extractor
  const matrix = frozenMatrix(everyNthColumn(weight, stateCount, state))
  castInPlace(matrix)
  const scale = Math.sqrt((weight.shape[0] as number) / captionWidth)
  const sums = hidden.map((x, caption) =>
    tf.tidy(() => tf.add<tf.Tensor2D>(matMulFrozen(tf.mul(rmsNorm(x), scale), matrix), features?.[caption] ?? bias)),
  )
  tf.dispose(matrix)
  return sums
}

/** The columns first, first + step, first + 2·step, … of a stored matrix. Its width is a multiple of the step. */
function everyNthColumn({ bytes, dtype, shape }: StoredTensor, step: number, first: number): StoredTensor {
  const [rows, columns] = shape as [number, number]
  const View = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array }[bytesPerElement[dtype]]
  const count = (rows * columns) / step
  const elements = new View(bytes.buffer as ArrayBuffer, bytes.byteOffset, rows * columns)
  const selected = new View(count)
  for (let i = 0; i < count; i++) selected[i] = elements[first + i * step] as never
  return { dtype, shape: [rows, columns / step], bytes: new Uint8Array(selected.buffer) }
}

export type Connector = {
  /** `[registers, D]` */
  registers: tf.Tensor2D
  blocks: { attention: Attention; feedForward: FeedForward }[]
  rope: RotaryTable
  epsilon: number
  normalizeOutput: boolean
}

/** @param weights the component's weights, from `ltxComponents`. */
export function loadConnector(weights: Weights, config: TransformerConfig): Connector {
  const [heads, headDim] = [config.audio_connector_num_attention_heads, config.audio_connector_attention_head_dim]
  const [maxPosition] = config.connector_positional_embedding_max_pos as [number]
  const fractions = Float64Array.from({ length: contextLength }, (_, position) => position / maxPosition)
  const loadBlock = (block: Weights) => ({
    attention: loadAttention(block.at('attn1'), { heads, headDim }),
    feedForward: loadFeedForward(block.at('ff'), heads * headDim, config.connector_ff_bias),
  })
  return {
    registers: constant(
      weights.read('learnable_registers', [config.connector_num_learnable_registers, heads * headDim]),
    ),
    blocks: Array.from({ length: connectorBlocks(config) }, (_, i) =>
      loadBlock(weights.at(`transformer_1d_blocks.${i}`)),
    ),
    rope: tf.tidy(() => tokensLast(ropeTable(fractions, { heads, headDim, theta: config.positional_embedding_theta }))),
    epsilon: config.norm_eps,
    normalizeOutput: config.connector_norm_output,
  }
}

/** The context of one caption: `[S, D] → [contextLength, D]`. */
export function runConnector(connector: Connector, features: tf.Tensor2D): tf.Tensor2D {
  const ops = currentOperations()
  const norm = (x: tf.Tensor2D) => rmsNorm(x, connector.epsilon)
  const output = connector.blocks.reduce(
    (x, block) => {
      const normed = ops.toMatrix(norm(x))
      const attn = attention(
        ops,
        block.attention,
        normed,
        projectKeyValue(ops, block.attention, normed),
        connector.rope,
      )
      const afterAttn = tf.add<tf.Tensor2D>(x, ops.toFloat32(attn.y))
      const ff = feedForward(ops, block.feedForward, ops.toMatrix(norm(afterAttn)))
      return tf.add<tf.Tensor2D>(afterAttn, ops.toFloat32(ff.y))
    },
    appendRegisters(features, connector.registers),
  )
  return connector.normalizeOutput ? norm(output) : output
}

/** Fills the positions p ≥ S with the learnable registers p mod 128: `[S, D] → [contextLength, D]`. */
function appendRegisters(features: tf.Tensor2D, registers: tf.Tensor2D): tf.Tensor2D {
  const [tokens] = features.shape
  const rows = Array.from({ length: contextLength - tokens }, (_, i) => (tokens + i) % registers.shape[0])
  if (rows.length === 0) return features
  return tf.concat([features, tf.gather(registers, tf.tensor1d(rows, 'int32'))])
}
