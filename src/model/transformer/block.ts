/**
 * A block of the audio stream (reference §6.3): self-attention, cross-attention to the text and feed-forward, each modulated by the noise level of the
 * token. This is the portable block, with TensorFlow.js's gradients; `native/block.ts` computes the same on native TensorFlow.
 */
import * as tf from '@tensorflow/tfjs'
import { constant } from '../../engine/device-tensors.ts'
import { type Attention, type AttentionSize, attention, loadAttention } from '../attention.ts'
import { type FeedForward, feedForward, type Linear, loadFeedForward, rmsNorm } from '../layers.ts'
import type { RopeTable } from '../rope.ts'
import type { Weights } from '../weights.ts'
import { modulationParams } from './adaln.ts'

export type Block = {
  selfAttention: Attention
  crossAttention: Attention
  feedForward: FeedForward
  /** `[9, D]` and `[2, D]`, added to the modulation by sigma. */
  scaleShiftTable: tf.Tensor2D
  contextScaleShiftTable: tf.Tensor2D
}

/**
 * The rows of a block's table: shift, scale and gate of self-attention (MSA), feed-forward (MLP) and cross-attention (CA). The feed-forward's rows come
 * before those of cross-attention, although it is computed after it.
 */
export const blockParams = [
  ...(['shiftMsa', 'scaleMsa', 'gateMsa'] as const),
  ...(['shiftMlp', 'scaleMlp', 'gateMlp'] as const),
  ...(['shiftCa', 'scaleCa', 'gateCa'] as const),
] as const

/** The rows of the tables that modulate the context and the output. */
export const shiftAndScale = ['shift', 'scale'] as const

export function loadBlock(weights: Weights, size: AttentionSize): Block {
  const width = size.heads * size.headDim
  const table = (name: string, rows: number) => constant<tf.Rank.R2>(weights.read(name, [rows, width]))
  return {
    selfAttention: loadAttention(weights.at('audio_attn1'), { heads: size.heads, headDim: size.headDim }),
    crossAttention: loadAttention(weights.at('audio_attn2'), size),
    feedForward: loadFeedForward(weights.at('audio_ff'), width),
    scaleShiftTable: table('audio_scale_shift_table', blockParams.length),
    contextScaleShiftTable: table('audio_prompt_scale_shift_table', shiftAndScale.length),
  }
}

/** Starts reading the block's large tensors from the disk while another block is loaded, but not those of video, which lie between them. */
export function readBlockAhead(weights: Weights) {
  for (const part of ['audio_attn1', 'audio_attn2', 'audio_ff']) weights.at(part).readAhead()
}

/** The linear layers that a LoRA can adapt. New LoRAs draw their random numbers in this order. */
export const blockLinears = ({ selfAttention, crossAttention, feedForward }: Block): Linear[] => [
  ...[selfAttention, crossAttention].flatMap(({ key, query, value, output }) => [key, query, value, output]),
  feedForward.up,
  feedForward.down,
]

/** What all blocks get besides the residual stream. */
export type BlockInputs = {
  /** Repeats rows of noise levels for the tokens that have them: `[B · levels, D] → [B, N, D]`. */
  toTokens(rows: tf.Tensor2D): tf.Tensor3D
  /** By noise level, `[B · levels, 9 · D]`. */
  modulation: tf.Tensor2D
  /** By the sigma of the sample, `[B, 2 · D]`. */
  contextModulation: tf.Tensor2D
  /** `[B, S, D]`. */
  context: tf.Tensor3D
  rope: RopeTable
}

/** `[B, N, D] → [B, N, D]`. @param skipSelfAttention see `AttentionOptions`. */
export function block(
  layer: Block,
  x: tf.Tensor3D,
  { toTokens, modulation, contextModulation, context, rope }: BlockInputs,
  skipSelfAttention = false,
): tf.Tensor3D {
  const params = modulationParams(blockParams, layer.scaleShiftTable, modulation, toTokens)
  const toContext = (rows: tf.Tensor2D) => tf.expandDims<tf.Tensor3D>(rows, 1)
  const ofContext = modulationParams(shiftAndScale, layer.contextScaleShiftTable, contextModulation, toContext)

  const attnInput = modulate(rmsNorm(x), params.shiftMsa, params.scaleMsa)
  const selfAttn = attention(layer.selfAttention, attnInput, attnInput, { rope, skipSelfAttention })
  const afterSelfAttn = tf.add<tf.Tensor3D>(x, tf.mul(params.gateMsa, selfAttn))

  const crossAttnInput = modulate(rmsNorm(afterSelfAttn), params.shiftCa, params.scaleCa)
  const text = modulate(context, ofContext.shift, ofContext.scale)
  const crossAttn = attention(layer.crossAttention, crossAttnInput, text)
  const afterCrossAttn = tf.add<tf.Tensor3D>(afterSelfAttn, tf.mul(params.gateCa, crossAttn))

  const ffInput = modulate(rmsNorm(afterCrossAttn), params.shiftMlp, params.scaleMlp)
  return tf.add(afterCrossAttn, tf.mul(params.gateMlp, feedForward(layer.feedForward, ffInput)))
}

/** x · (1 + scale) + shift. */
export const modulate = (x: tf.Tensor3D, shift: tf.Tensor3D, scale: tf.Tensor3D): tf.Tensor3D =>
  tf.add(tf.mul(x, tf.add(scale, 1)), shift)
