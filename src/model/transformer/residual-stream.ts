/** The passage of the residual stream through the blocks: sample by sample, with the gradient of each block and its checkpointing. */
import * as tf from '@tensorflow/tfjs'
import { graphFunction } from '../../engine/graph-function.ts'
import type { Operations } from '../../engine/operations.ts'
import { customGradient } from '../../engine/tensor-tree.ts'
import { type RopeTable, tokensLast } from '../rope.ts'
import { type Block, type BlockInputs, blockBackward, blockForward, blockLinears, textKeyValue } from './block.ts'
import { type BlockSize, type Checkpointing, savedActivationBytes, shouldCheckpoint } from './checkpointing.ts'

export type StreamInputs = {
  samples: readonly BlockInputs[]
  /** How gradients are computed: from the saved activations of each block, from activations that are computed again, or by TensorFlow.js. */
  gradients: 'saved' | 'recomputed' | 'automatic'
}

/** What all blocks use besides the residual stream, for a batch of B samples. */
export type BatchInputs = {
  /** For each token, 1 where its noise level is the sigma of the sample, 0 where it is 0. */
  noisy: readonly (0 | 1)[]
  rope: RopeTable
  /** By sample and noise level, `[B · 2, 9 · D]`. */
  modulation: tf.Tensor2D
  /** By the sigma of the sample, `[B, 2 · D]`. */
  contextModulation: tf.Tensor2D
  /** `[B, S, D]`. */
  context: tf.Tensor3D
}

/** @param trainsBase whether the weights of the blocks are trained themselves: then TensorFlow.js computes the gradients. */
export function streamInputs(
  ops: Operations,
  {
    blocks,
    checkpointing,
    trainsBase,
  }: { blocks: readonly Block[]; checkpointing: Checkpointing; trainsBase: boolean },
  { noisy, rope, context, modulation, contextModulation }: BatchInputs,
): StreamInputs {
  const [first] = blocks
  const [batch, textTokens, width] = context.shape
  const ofSample = <T extends tf.Tensor>(x: T, sample: number): T => {
    if (batch === 1) return x
    const rows = (x.shape[0] as number) / batch
    return tf.slice(x, [sample * rows], [rows])
  }
  const lengths = { tokens: noisy.length, textTokens, savesProbabilities: ops.savesProbabilities }
  const bytes = first ? blocks.length * savedActivationBytes(sizeOf(first), lengths) : 0
  const shared = { levels: ops.levels(noisy), rope: tokensLast(rope) }
  const samples = Array.from({ length: batch }, (_, i) => ({
    ...shared,
    modulation: ofSample(modulation, i),
    contextModulation: ofSample(contextModulation, i),
    context: tf.reshape<tf.Rank.R2>(ofSample(context, i), [textTokens, width]),
  }))
  if (trainsBase) return { samples, gradients: 'automatic' }
  return { samples, gradients: shouldCheckpoint(checkpointing, bytes) ? 'recomputed' : 'saved' }
}

const sizeOf = ({ selfAttention: { heads }, scaleShiftTable, feedForward: { up } }: Block): BlockSize => ({
  heads,
  width: scaleShiftTable.shape[1],
  inner: up.weight.shape[0],
})

/**
 * `[B, N, D] → [B, N, D]`. Differentiable in x and in the factors of a LoRA.
 * @param skipSelfAttention the perturbation of spatio-temporal guidance: every token gets its own value, as if it attended to itself alone.
 */
export function applyBlock(
  ops: Operations,
  layer: Block,
  x: tf.Tensor3D,
  { samples, gradients }: StreamInputs,
  skipSelfAttention = false,
): tf.Tensor3D {
  const [batch, tokens, width] = x.shape
  const streams = batch === 1 ? [tf.reshape(x, [tokens, width])] : tf.unstack(x)
  const outputs = samples.map((inputs, i) => {
    const stream = streams[i] as tf.Tensor2D
    if (gradients !== 'automatic')
      return sampleBlock(ops, layer, stream, inputs, { recompute: gradients === 'recomputed', skipSelfAttention })
    return blockForward(ops, layer, { x: stream, inputs, text: textKeyValue(ops, layer, inputs), skipSelfAttention }).y
  })
  return batch === 1 ? tf.reshape(outputs[0] as tf.Tensor2D, x.shape) : (tf.stack(outputs) as tf.Tensor3D)
}

/** In a captured graph, the text's keys and values, the forward pass and the backward pass are one function each, which all blocks call. */
function sampleBlock(
  ops: Operations,
  layer: Block,
  x: tf.Tensor2D,
  inputs: BlockInputs,
  { recompute, skipSelfAttention }: { recompute: boolean; skipSelfAttention: boolean },
): tf.Tensor2D {
  const factors = blockLinears(layer).flatMap(({ lora }) => (lora ? [lora.a, lora.b] : []))
  return customGradient(
    [x, ...factors],
    () => {
      const text = graphFunction('text', { inputs: textKeyValueInputs(layer, inputs), after: x }, () =>
        textKeyValue(ops, layer, inputs),
      )
      const blockInputs = { layer, x, inputs, text, recompute, skipSelfAttention }
      const { y, activations } = graphFunction('block', { inputs: blockInputs }, () => {
        const { y, activations } = blockForward(ops, layer, { x, inputs, text, skipSelfAttention })
        return { y, activations: recompute ? undefined : activations }
      })
      return { value: y, saved: { x, inputs, text: recompute ? undefined : text, activations } }
    },
    (dy, { x, inputs, ...saved }) =>
      graphFunction('gradient', { inputs: { layer, dy, x, inputs, ...saved, skipSelfAttention } }, () => {
        const text = saved.text ?? textKeyValue(ops, layer, inputs)
        const activations =
          saved.activations ?? blockForward(ops, layer, { x, inputs, text, skipSelfAttention }).activations
        return blockBackward(ops, layer, { dy, x, inputs, text, activations })
      }),
  ) as tf.Tensor2D
}

/** All that `textKeyValue` uses. */
const textKeyValueInputs = (
  { crossAttention, contextScaleShiftTable }: Block,
  { context, contextModulation }: BlockInputs,
) => {
  const { heads, key, value } = crossAttention
  return { heads, key, value, contextScaleShiftTable, context, contextModulation }
}
