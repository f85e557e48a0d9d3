/**
 * One block of the audio stream (spec §6.3): self-attention, text attention, feed-forward, each modulated by the token's noise level.
 * The rows of the table are ordered self 0–2, feed-forward 3–5, text 6–8, although text comes before feed-forward.
 */
import * as tf from '@tensorflow/tfjs'
import { constant } from '../../engine/device-tensors.ts'
import { type Attention, type AttentionSize, attention, loadAttention } from '../attention.ts'
import { type FeedForward, feedForward, loadFeedForward, rmsNorm } from '../layers.ts'
import type { RopeTable } from '../rope.ts'
import type { Weights } from '../weights.ts'
import { nativeBlock } from './native/block.ts'
import type { NativeConditioning } from './native/block-inputs.ts'

export const blockRows = 9
export const contextRows = 2

export type Block = {
  selfAttention: Attention
  textAttention: Attention
  feedForward: FeedForward
  /** `[9, D]` and `[2, D]`, added to the modulation of the noise level. */
  table: tf.Tensor2D
  contextTable: tf.Tensor2D
}

export function loadBlock(weights: Weights, size: AttentionSize): Block {
  const width = size.heads * size.headDim
  const table = (name: string, rows: number) => constant<tf.Rank.R2>(weights.read(name, [rows, width]))
  return {
    selfAttention: loadAttention(weights.at('audio_attn1'), { heads: size.heads, headDim: size.headDim }),
    textAttention: loadAttention(weights.at('audio_attn2'), size),
    feedForward: loadFeedForward(weights.at('audio_ff'), width),
    table: table('audio_scale_shift_table', blockRows),
    contextTable: table('audio_prompt_scale_shift_table', contextRows),
  }
}

/** Has the block's large tensors fetched from the disk while another is loaded; those of video, which lie among them, stay where they are. */
export function readBlockAhead(weights: Weights) {
  for (const part of ['audio_attn1', 'audio_attn2', 'audio_ff']) weights.at(part).readAhead()
}

/** What a block is told besides its tokens. */
export type Conditioning = {
  /** Spreads per-level rows to tokens: `[B · levels, D] → [B, N, D]`. */
  toTokens(rows: tf.Tensor2D): tf.Tensor3D
  /** The modulation of each noise level that occurs, `[B · levels, 9 · D]`. */
  modulation: tf.Tensor2D
  /** The modulation of the text by the sample's sigma, `[B, 2 · D]`. */
  contextModulation: tf.Tensor2D
  /** `[B, S, D]`. */
  context: tf.Tensor3D
  rotation: RopeTable
  /** Where it is there, the block is computed as native TensorFlow does it best. */
  native?: NativeConditioning
  /** Spatio-temporal guidance: this block's self-attention passes values through. */
  passValues: boolean
}

/** `[B, N, D] → [B, N, D]`. */
export function block(layer: Block, x: tf.Tensor3D, given: Conditioning): tf.Tensor3D {
  if (given.native) return nativeBlock(layer, x, given.native, given.passValues)
  const row = modulationRows(layer.table, given.modulation, blockRows, given.toTokens)
  const contextRow = modulationRows(layer.contextTable, given.contextModulation, contextRows, (rows) =>
    tf.expandDims<tf.Tensor3D>(rows, 1),
  )

  const heard = shifted(rmsNorm(x), row(0), row(1))
  const { rotation, passValues } = given
  const mixed = tf.add<tf.Tensor3D>(
    x,
    tf.mul(row(2), attention(layer.selfAttention, heard, heard, { rotation, passValues })),
  )

  const asking = shifted(rmsNorm(mixed), row(6), row(7))
  const text = shifted(given.context, contextRow(0), contextRow(1))
  const told = tf.add<tf.Tensor3D>(mixed, tf.mul(row(8), attention(layer.textAttention, asking, text)))

  const fed = shifted(rmsNorm(told), row(3), row(4))
  return tf.add(told, tf.mul(row(5), feedForward(layer.feedForward, fed)))
}

/** x · (1 + scale) + shift. */
const shifted = (x: tf.Tensor3D, shift: tf.Tensor3D, scale: tf.Tensor3D): tf.Tensor3D =>
  tf.add(tf.mul(x, tf.add(scale, 1)), shift)

/** Row r of the block's table plus the noise level's modulation, brought to the shape of the tokens. */
export function modulationRows<T extends tf.Tensor>(
  table: tf.Tensor2D,
  modulation: tf.Tensor2D,
  rows: number,
  spread: (rows: tf.Tensor2D) => T,
): (row: number) => T {
  const [levels] = modulation.shape
  const summed = tf.add(tf.reshape(modulation, [levels, rows, -1]), table)
  const each = tf.unstack(summed, 1) as tf.Tensor2D[]
  return (row) => spread(each[row] as tf.Tensor2D)
}
