/**
 * The audio stream of the LTX-2.3 transformer (reference §6): noisy latents in, velocity out. Video, and the attention between the two streams, are
 * left out, exactly as the reference implementation runs audio alone.
 */
import * as tf from '@tensorflow/tfjs'
import { layerNorm } from '../../engine/activations.ts'
import { differentiableOperations } from '../../engine/composed-operations.ts'
import { currentOperations } from '../../engine/current-operations.ts'
import { constant, isTrainable } from '../../engine/device-tensors.ts'
import type { TransformerConfig } from '../config.ts'
import { type Linear, linearOnTokens, loadLinear } from '../layers.ts'
import { type RopeTable, ropeTable } from '../rope.ts'
import type { Weights } from '../weights.ts'
import { type AdaLn, loadAdaLn, modulationParams, timestepModulation } from './adaln.ts'
import { type Block, blockParams, loadBlock, readBlockAhead, shiftAndScale } from './block.ts'
import type { Checkpointing } from './checkpointing.ts'
import { applyBlock, streamInputs } from './residual-stream.ts'

export type Transformer = {
  config: TransformerConfig
  inputProjection: Linear
  adaLn: AdaLn
  /** Without it, sigma does not modulate the context. */
  contextAdaLn?: AdaLn
  blocks: Block[]
  /** `[2, D]`: shift and scale after the last norm. */
  finalScaleShiftTable: tf.Tensor2D
  outputProjection: Linear
  /** Whether gradients compute activations again. */
  checkpointing: Checkpointing
}

export type LoadTransformerOptions = {
  /** Default: `auto`. */
  checkpointing?: Checkpointing | undefined
  /** Called after each block. */
  onProgress?: (blocks: number, total: number) => void
}

/**
 * @param weights the root of the transformer's names, from `ltxComponents`.
 * @throws UserError where a tensor is missing or does not have the shape that the config asks for.
 */
export function loadTransformer(
  weights: Weights,
  config: TransformerConfig,
  { checkpointing = 'auto', onProgress }: LoadTransformerOptions = {},
): Transformer {
  const heads = config.audio_num_attention_heads
  const headDim = config.audio_attention_head_dim
  const width = heads * headDim
  const size = { heads, headDim, contextWidth: config.audio_cross_attention_dim }
  const adaLn = (name: string, params: number) =>
    loadAdaLn(weights.at(name), width, params, config.timestep_scale_multiplier)
  return {
    config,
    inputProjection: loadLinear(weights.at('audio_patchify_proj'), config.audio_in_channels, width),
    adaLn: adaLn('audio_adaln_single', blockParams.length),
    ...(config.use_prompt_adaln_single && {
      contextAdaLn: adaLn('audio_prompt_adaln_single', shiftAndScale.length),
    }),
    blocks: Array.from({ length: config.num_layers }, (_, i) => {
      if (i + 1 < config.num_layers) readBlockAhead(weights.at(`transformer_blocks.${i + 1}`))
      const loaded = loadBlock(weights.at(`transformer_blocks.${i}`), size, config.audio_ff_bias)
      onProgress?.(i + 1, config.num_layers)
      return loaded
    }),
    finalScaleShiftTable: constant<tf.Rank.R2>(weights.read('audio_scale_shift_table', [2, width])),
    outputProjection: loadLinear(weights.at('audio_proj_out'), width, config.audio_out_channels),
    checkpointing,
  }
}

/** Frees the weights and an attached LoRA. */
export const disposeTransformer = (model: Transformer) => tf.dispose(model)

export type TransformerInput = {
  /** Latents in token layout, `[B, N, 128]`: clean reference tokens and noisy target tokens, in any order. */
  tokens: tf.Tensor3D
  /** The sample's noise level, `[B]`. */
  sigma: tf.Tensor1D
  /** For each token, 1 where it is noisy (its timestep is sigma) and 0 where it is clean (its timestep is 0). */
  noisy: readonly (0 | 1)[]
  rope: RopeTable
  /** `[B, S, D]`. */
  context: tf.Tensor3D
  /** Called with the residual stream after the input projection (block −1) and after each block. */
  onBlock?: (block: number, x: tf.Tensor3D) => void
}

/** The velocity of every token, `[B, N, 128]`. */
export function velocity(model: Transformer, input: TransformerInput): tf.Tensor3D {
  const { start, applyBlock, toVelocity } = startForward(model, input)
  let x = start
  input.onBlock?.(-1, x)
  model.blocks.forEach((layer, i) => {
    x = applyBlock(layer, x)
    input.onBlock?.(i, x)
  })
  return toVelocity(x)
}

/**
 * The velocity, and the perturbed velocity of spatio-temporal guidance, for which some blocks skip self-attention. The blocks before the first of them
 * are the same for both, and computed once.
 */
export function velocities(
  model: Transformer,
  input: TransformerInput,
  isPerturbed: (block: number) => boolean,
): { plain: tf.Tensor3D; perturbed: tf.Tensor3D } {
  const { start, applyBlock, toVelocity } = startForward(model, input)
  let [plain, perturbed] = [start, start]
  model.blocks.forEach((layer, i) => {
    const isSame = perturbed === plain && !isPerturbed(i)
    const next = isSame ? undefined : applyBlock(layer, perturbed, isPerturbed(i))
    plain = applyBlock(layer, plain)
    perturbed = next ?? plain
  })
  return { plain: toVelocity(plain), perturbed: toVelocity(perturbed) }
}

type ForwardPass = {
  /** The residual stream before the first block, `[B, N, D]`. */
  start: tf.Tensor3D
  applyBlock(layer: Block, x: tf.Tensor3D, skipSelfAttention?: boolean): tf.Tensor3D
  /** From the residual stream after the last block. */
  toVelocity(x: tf.Tensor3D): tf.Tensor3D
}

function startForward(model: Transformer, { tokens, sigma, noisy, rope, context }: TransformerInput): ForwardPass {
  const [batch] = tokens.shape
  // a sample has only two noise levels, 0 and sigma: the modulation is computed for these, not for every token
  const levels = tf.reshape(tf.stack([tf.zerosLike(sigma), sigma], 1), [batch * 2]) as tf.Tensor1D
  const toTokens = levelsToTokens(noisy, batch)
  const { embedding, modulation } = timestepModulation(model.adaLn, levels)
  const contextModulation = modulationOfContext(model, sigma)
  // shift and scale of the output follow from the same embedding
  const final = modulationParams(
    shiftAndScale,
    model.finalScaleShiftTable,
    tf.concat([embedding, embedding], 1),
    toTokens,
  )
  const trainsBase = isTrainable(model.inputProjection.weight)
  const ops = trainsBase ? differentiableOperations : currentOperations()
  const batchInputs = { noisy, rope, modulation, contextModulation, context }
  const inputs = streamInputs(ops, { ...model, trainsBase }, batchInputs)
  return {
    start: linearOnTokens(model.inputProjection, tokens),
    applyBlock: (layer, x, skipSelfAttention) => tf.tidy(() => applyBlock(ops, layer, x, inputs, skipSelfAttention)),
    toVelocity: (x) => {
      const normed = layerNorm(x, model.config.norm_eps)
      return linearOnTokens(model.outputProjection, tf.add(tf.mul(normed, tf.add(final.scale, 1)), final.shift))
    },
  }
}

/** `[B] → [B, 2 · D]`: zeros where the tables of the blocks alone modulate the context. */
function modulationOfContext({ contextAdaLn, finalScaleShiftTable }: Transformer, sigma: tf.Tensor1D): tf.Tensor2D {
  if (contextAdaLn) return timestepModulation(contextAdaLn, sigma).modulation
  return tf.zeros([sigma.shape[0], finalScaleShiftTable.size])
}

/** Rows for level 0 and level sigma of each sample, `[B · 2, D]` → the row of each token, `[B, N, D]`. */
function levelsToTokens(noisy: readonly (0 | 1)[], batch: number) {
  const isNoisy = tf.tensor3d(noisy as number[], [1, noisy.length, 1])
  const isClean = tf.sub(1, isNoisy)
  return (rows: tf.Tensor2D): tf.Tensor3D => {
    const [clean, sigma] = tf.split(tf.reshape(rows, [batch, 2, -1]) as tf.Tensor3D, 2, 1) as [tf.Tensor3D, tf.Tensor3D]
    return tf.add(tf.mul(clean, isClean), tf.mul(sigma, isNoisy))
  }
}

/** @param seconds the position of each token. Reference and target both start at 0, so their positions overlap (reference §7.2). */
export function tokenRope(config: TransformerConfig, seconds: ArrayLike<number>): RopeTable {
  const [longest = 1] = config.audio_positional_embedding_max_pos
  return ropeTable(
    Array.from(seconds, (position) => position / longest),
    {
      heads: config.audio_num_attention_heads,
      headDim: config.audio_attention_head_dim,
      theta: config.positional_embedding_theta,
    },
  )
}
