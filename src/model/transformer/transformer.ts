/**
 * The audio stream of the LTX-2.3 transformer (spec §6): noisy latents in, velocity out. Video, and the attention between the streams, are
 * absent, exactly as the reference runs audio alone.
 */
import * as tf from '@tensorflow/tfjs'
import { constant, isLearning } from '../../engine/device-tensors.ts'
import { isNative } from '../../engine/native.ts'
import { onTokens } from '../attention.ts'
import type { TransformerConfig } from '../config.ts'
import { type Linear, layerNorm, loadLinear } from '../layers.ts'
import { type RopeTable, rotationTable } from '../rope.ts'
import type { Weights } from '../weights.ts'
import { loadTimestepModulation, modulate, type TimestepModulation } from './adaln.ts'
import { type Block, block, blockRows, contextRows, loadBlock, modulationRows, readBlockAhead } from './block.ts'
import { nativeConditioning } from './native/block-inputs.ts'

export type Transformer = {
  config: TransformerConfig
  input: Linear
  noiseLevel: TimestepModulation
  contextNoiseLevel: TimestepModulation
  blocks: Block[]
  /** `[2, D]`: shift and scale of the last norm. */
  outputTable: tf.Tensor2D
  output: Linear
}

/** @param weights the root of the transformer's names, as `ltxComponents` finds it. */
export function loadTransformer(
  weights: Weights,
  config: TransformerConfig,
  onBlock?: (done: number, of: number) => void,
): Transformer {
  const heads = config.audio_num_attention_heads
  const headDim = config.audio_attention_head_dim
  const width = heads * headDim
  const size = { heads, headDim, contextWidth: config.audio_cross_attention_dim }
  const multiplier = config.timestep_scale_multiplier
  return {
    config,
    input: loadLinear(weights.at('audio_patchify_proj'), config.audio_in_channels, width),
    noiseLevel: loadTimestepModulation(weights.at('audio_adaln_single'), width, blockRows, multiplier),
    contextNoiseLevel: loadTimestepModulation(weights.at('audio_prompt_adaln_single'), width, contextRows, multiplier),
    blocks: Array.from({ length: config.num_layers }, (_, i) => {
      if (i + 1 < config.num_layers) readBlockAhead(weights.at(`transformer_blocks.${i + 1}`))
      const loaded = loadBlock(weights.at(`transformer_blocks.${i}`), size)
      onBlock?.(i + 1, config.num_layers)
      return loaded
    }),
    outputTable: constant<tf.Rank.R2>(weights.read('audio_scale_shift_table', [2, width])),
    output: loadLinear(weights.at('audio_proj_out'), width, config.audio_out_channels),
  }
}

export type TransformerInput = {
  /** Latents in token layout, `[B, N, 128]`: clean reference tokens and noisy target tokens, in any order. */
  tokens: tf.Tensor3D
  /** The sample's noise level, `[B]`. */
  sigma: tf.Tensor1D
  /** For each token, 1 where it is noisy (its timestep is sigma) and 0 where it is clean (its timestep is 0). */
  noisy: readonly (0 | 1)[]
  rotation: RopeTable
  /** `[B, S, D]`. */
  context: tf.Tensor3D
  /** Sees the residual stream after the input projection (−1) and after each block. */
  onBlock?: (block: number, x: tf.Tensor3D) => void
}

/** The velocity of every token, `[B, N, 128]`. */
export function velocity(model: Transformer, input: TransformerInput): tf.Tensor3D {
  const pass = openPass(model, input)
  let x = pass.start
  input.onBlock?.(-1, x)
  model.blocks.forEach((layer, i) => {
    x = pass.through(layer, x)
    input.onBlock?.(i, x)
  })
  return pass.velocityOf(x)
}

/**
 * The velocity, and that of spatio-temporal guidance, whose self-attention is perturbed in some blocks. All blocks before the first of those are
 * the same for both, and computed once.
 */
export function velocities(
  model: Transformer,
  input: TransformerInput,
  isPerturbed: (block: number) => boolean,
): { plain: tf.Tensor3D; perturbed: tf.Tensor3D } {
  const pass = openPass(model, input)
  let [plain, perturbed] = [pass.start, pass.start]
  model.blocks.forEach((layer, i) => {
    const own = perturbed !== plain || isPerturbed(i) ? pass.through(layer, perturbed, isPerturbed(i)) : undefined
    plain = pass.through(layer, plain)
    perturbed = own ?? plain
  })
  return { plain: pass.velocityOf(plain), perturbed: pass.velocityOf(perturbed) }
}

type Pass = {
  /** The residual stream before the first block, `[B, N, D]`. */
  start: tf.Tensor3D
  /** @param passValues perturbs self-attention. */
  through(layer: Block, x: tf.Tensor3D, passValues?: boolean): tf.Tensor3D
  velocityOf(x: tf.Tensor3D): tf.Tensor3D
}

function openPass(model: Transformer, input: TransformerInput): Pass {
  const { tokens, sigma, noisy, rotation, context } = input
  const [batch] = tokens.shape
  // only two noise levels occur in a sample, 0 and sigma: two modulation rows each, not one per token
  const levels = tf.reshape(tf.stack([tf.zerosLike(sigma), sigma], 1), [batch * 2]) as tf.Tensor1D
  const toTokens = spreadLevels(noisy, batch)
  const { embedding, rows: modulation } = modulate(model.noiseLevel, levels)
  const { rows: contextModulation } = modulate(model.contextNoiseLevel, sigma)
  // the hand-written gradients are those of a LoRA alone
  const native =
    isNative() && !isLearning(model.input.weight)
      ? nativeConditioning(model, { ...input, modulation, contextModulation })
      : undefined
  const given = { toTokens, modulation, contextModulation, context, rotation, ...(native && { native }) }
  const outputModulation = tf.concat([embedding, embedding], 1) // the same embedding shifts and scales
  const row = modulationRows(model.outputTable, outputModulation, 2, toTokens)
  return {
    start: onTokens(model.input, tokens),
    through: (layer, x, passValues = false) => tf.tidy(() => block(layer, x, { ...given, passValues })),
    velocityOf: (x) =>
      onTokens(model.output, tf.add(tf.mul(layerNorm(x, model.config.norm_eps), tf.add(row(1), 1)), row(0))),
  }
}

/** Where tokens stand: latent frame i of reference and target alike starts at its own time, so the two overlap (spec §7.2). */
export function tokenRotation(config: TransformerConfig, middleSeconds: ArrayLike<number>): RopeTable {
  const [longest = 1] = config.audio_positional_embedding_max_pos
  return rotationTable(
    Array.from(middleSeconds, (seconds) => seconds / longest),
    {
      heads: config.audio_num_attention_heads,
      headDim: config.audio_attention_head_dim,
      theta: config.positional_embedding_theta,
    },
  )
}

/** Rows for level 0 and level sigma of each sample → the row of each token. */
function spreadLevels(noisy: readonly (0 | 1)[], batch: number) {
  const isNoisy = tf.tensor3d(noisy as number[], [1, noisy.length, 1])
  const isClean = tf.sub(1, isNoisy)
  return (rows: tf.Tensor2D): tf.Tensor3D => {
    const [clean, sigma] = tf.split(tf.reshape(rows, [batch, 2, -1]) as tf.Tensor3D, 2, 1) as [tf.Tensor3D, tf.Tensor3D]
    return tf.add(tf.mul(clean, isClean), tf.mul(sigma, isNoisy))
  }
}
