/** The connector, a small bidirectional transformer that turns the text features into the context of the audio stream (reference §5.5). */
import * as tf from '@tensorflow/tfjs'
import { constant } from '../../engine/device-tensors.ts'
import { type Attention, attention, loadAttention } from '../attention.ts'
import type { TransformerConfig } from '../config.ts'
import { type FeedForward, feedForward, loadFeedForward, rmsNorm } from '../layers.ts'
import { type RopeTable, ropeTable } from '../rope.ts'
import type { Weights } from '../weights.ts'
import { contextLength } from './tokenizer.ts'

export type Connector = {
  /** `[registers, D]` */
  registers: tf.Tensor2D
  blocks: { attention: Attention; feedForward: FeedForward }[]
  rope: RopeTable
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
    feedForward: loadFeedForward(block.at('ff'), heads * headDim),
  })
  return {
    registers: constant(
      weights.read('learnable_registers', [config.connector_num_learnable_registers, heads * headDim]),
    ),
    blocks: Array.from({ length: config.audio_connector_num_layers ?? config.connector_num_layers }, (_, i) =>
      loadBlock(weights.at(`transformer_1d_blocks.${i}`)),
    ),
    rope: ropeTable(fractions, { heads, headDim, theta: config.positional_embedding_theta }),
    epsilon: config.norm_eps,
    normalizeOutput: config.connector_norm_output,
  }
}

/** The context of one caption: `[S, D] → [contextLength, D]`. */
export function runConnector(connector: Connector, features: tf.Tensor2D): tf.Tensor2D {
  const norm = (x: tf.Tensor3D) => rmsNorm(x, connector.epsilon)
  const output = connector.blocks.reduce(
    (x, block) => {
      const normed = norm(x)
      const afterAttn = tf.add<tf.Tensor3D>(x, attention(block.attention, normed, normed, connector))
      return tf.add<tf.Tensor3D>(afterAttn, feedForward(block.feedForward, norm(afterAttn)))
    },
    appendRegisters(features, connector.registers),
  )
  return tf.squeeze(connector.normalizeOutput ? norm(output) : output, [0])
}

/** Fills the positions p ≥ S with the learnable registers p mod 128: `[S, D] → [1, contextLength, D]`. */
function appendRegisters(features: tf.Tensor2D, registers: tf.Tensor2D): tf.Tensor3D {
  const [tokens] = features.shape
  const rows = Array.from({ length: contextLength - tokens }, (_, i) => (tokens + i) % registers.shape[0])
  if (rows.length === 0) return tf.expandDims(features)
  return tf.expandDims(tf.concat([features, tf.gather(registers, tf.tensor1d(rows, 'int32'))]))
}
