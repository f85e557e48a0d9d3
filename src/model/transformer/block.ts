/**
 * A block of the audio stream (reference §6.3): self-attention, cross-attention to the text and feed-forward, each modulated by the noise level of the
 * token. Its gradient is written by hand. Activations are saved as matrices, the residual stream in float32; what is cheap to compute is computed again.
 */
import type * as tf from '@tensorflow/tfjs'
import { constant } from '../../engine/device-tensors.ts'
import type { Operations, RotaryTable } from '../../engine/operations.ts'
import {
  type Attention,
  type AttentionSize,
  attention,
  attentionGradient,
  type KeyValue,
  loadAttention,
  projectKeyValue,
  type SavedAttention,
} from '../attention.ts'
import {
  type FeedForward,
  feedForward,
  feedForwardGradient,
  loadFeedForward,
  type SavedFeedForward,
} from '../feed-forward.ts'
import type { Linear } from '../layers.ts'
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

/** @param hasFeedForwardBias see `audio_ff_bias` in the config. */
export function loadBlock(weights: Weights, size: AttentionSize, hasFeedForwardBias: boolean): Block {
  const width = size.heads * size.headDim
  const table = (name: string, rows: number) => constant<tf.Rank.R2>(weights.read(name, [rows, width]))
  return {
    selfAttention: loadAttention(weights.at('audio_attn1'), { heads: size.heads, headDim: size.headDim }),
    crossAttention: loadAttention(weights.at('audio_attn2'), size),
    feedForward: loadFeedForward(weights.at('audio_ff'), width, hasFeedForwardBias),
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

/** What all blocks get besides the residual stream, for one sample. */
export type BlockInputs = {
  /** The noise level of each token, 0 or 1, from `Operations.levels`. */
  levels: tf.Tensor
  rope: RotaryTable
  /** By noise level, `[2, 9 · D]`. */
  modulation: tf.Tensor2D
  /** By the sigma of the sample, `[1, 2 · D]`. */
  contextModulation: tf.Tensor2D
  /** `[S, D]`. */
  context: tf.Tensor2D
}

/** Keys and values of the text: the same in every pass with the same context and sigma. */
export const textKeyValue = (ops: Operations, layer: Block, inputs: BlockInputs): KeyValue =>
  projectKeyValue(ops, layer.crossAttention, modulatedContext(ops, layer, inputs))

/** What the forward pass saves for the backward pass. */
export type Activations = {
  /** The outputs of self-attention and cross-attention before their gates. The residual stream between the parts is computed from them again. */
  selfAttn: tf.Tensor
  crossAttn: tf.Tensor
  keyValue: KeyValue
  selfAttention: SavedAttention
  crossAttention: SavedAttention
  feedForward: SavedFeedForward
}

/** @param skipSelfAttention see `projectKeyValue`. */
export type BlockForwardInputs = { x: tf.Tensor; inputs: BlockInputs; text: KeyValue; skipSelfAttention: boolean }

/** `[N, D] → [N, D]`. */
export function blockForward(
  ops: Operations,
  layer: Block,
  { x, inputs, text, skipSelfAttention }: BlockForwardInputs,
): { y: tf.Tensor; activations: Activations } {
  const params = tokenParams(ops, layer, inputs)
  const attnInput = ops.modulatedNorm(x, params.shiftMsa, params.scaleMsa)
  const keyValue = projectKeyValue(ops, layer.selfAttention, attnInput, skipSelfAttention)
  const selfAttn = attention(ops, layer.selfAttention, attnInput, keyValue, inputs.rope)
  const afterSelfAttn = ops.addGated(x, params.gateMsa, selfAttn.y)

  const crossAttnInput = ops.modulatedNorm(afterSelfAttn, params.shiftCa, params.scaleCa)
  const crossAttn = attention(ops, layer.crossAttention, crossAttnInput, text)
  const afterCrossAttn = ops.addGated(afterSelfAttn, params.gateCa, crossAttn.y)

  const ff = feedForward(ops, layer.feedForward, ops.modulatedNorm(afterCrossAttn, params.shiftMlp, params.scaleMlp))
  const y = ops.addGated(afterCrossAttn, params.gateMlp, ff.y)
  const saved = { selfAttention: selfAttn.saved, crossAttention: crossAttn.saved, feedForward: ff.saved }
  return { y, activations: { selfAttn: selfAttn.y, crossAttn: crossAttn.y, keyValue, ...saved } }
}

export type BlockBackwardInputs = {
  dy: tf.Tensor
  x: tf.Tensor
  inputs: BlockInputs
  text: KeyValue
  activations: Activations
}

/** The gradients of x, `[N, D]`, and of the LoRA factors, in the order of `blockLinears`, all float32. x and dy are float32 `[N, D]`. */
export function blockBackward(
  ops: Operations,
  layer: Block,
  { dy, x, inputs, text, activations: { selfAttn, crossAttn, keyValue, ...saved } }: BlockBackwardInputs,
): tf.Tensor[] {
  const params = tokenParams(ops, layer, inputs)
  const afterSelfAttn = ops.addGated(x, params.gateMsa, selfAttn)
  const afterCrossAttn = ops.addGated(afterSelfAttn, params.gateCa, crossAttn)
  const ffGrad = feedForwardGradient(ops, layer.feedForward, {
    dy: ops.gatedGradient(dy, params.gateMlp),
    x: ops.modulatedNorm(afterCrossAttn, params.shiftMlp, params.scaleMlp),
    saved: saved.feedForward,
  })
  const dAfterCrossAttn = ops.modulatedNormGradient({
    dy: [ffGrad.dx],
    x: afterCrossAttn,
    scale: params.scaleMlp,
    residual: dy,
  })

  const crossAttnGrad = attentionGradient(ops, layer.crossAttention, {
    dy: ops.gatedGradient(dAfterCrossAttn, params.gateCa),
    x: ops.modulatedNorm(afterSelfAttn, params.shiftCa, params.scaleCa),
    context: modulatedContext(ops, layer, inputs),
    keyValue: text,
    saved: saved.crossAttention,
    needsContextGradient: false,
  })
  const dAfterSelfAttn = ops.modulatedNormGradient({
    dy: crossAttnGrad.dx,
    x: afterSelfAttn,
    scale: params.scaleCa,
    residual: dAfterCrossAttn,
  })

  const attnInput = ops.modulatedNorm(x, params.shiftMsa, params.scaleMsa)
  const selfAttnGrad = attentionGradient(ops, layer.selfAttention, {
    dy: ops.gatedGradient(dAfterSelfAttn, params.gateMsa),
    x: attnInput,
    context: attnInput,
    rope: inputs.rope,
    keyValue,
    saved: saved.selfAttention,
    needsContextGradient: true,
  })
  const dAttnInput = [...selfAttnGrad.dx, ...selfAttnGrad.dContext]
  const dx = ops.modulatedNormGradient({
    dy: dAttnInput,
    x,
    scale: params.scaleMsa,
    residual: dAfterSelfAttn,
  })
  return [dx, ...selfAttnGrad.factors, ...crossAttnGrad.factors, ...ffGrad.factors]
}

/** The modulation of each token, every part `[N, D]`. */
const tokenParams = (ops: Operations, { scaleShiftTable }: Block, { modulation, levels }: BlockInputs) =>
  modulationParams(blockParams, scaleShiftTable, modulation, (part) => ops.rowsOfLevels(part, levels))

/** context · (1 + scale) + shift, `[S, D]`. */
function modulatedContext(
  ops: Operations,
  { contextScaleShiftTable }: Block,
  { context, contextModulation }: BlockInputs,
): tf.Tensor {
  const params = modulationParams(shiftAndScale, contextScaleShiftTable, contextModulation, (part) => part)
  return ops.modulate(context, params.shift, params.scale)
}
