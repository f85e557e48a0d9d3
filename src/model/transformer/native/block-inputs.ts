/** What the native blocks get besides the residual stream, computed once for all of them. */
import * as tf from '@tensorflow/tfjs'
import type { Block, BlockInputs } from '../block.ts'
import { type BlockSize, type Checkpointing, savedActivationBytes, shouldCheckpoint } from '../checkpointing.ts'
import type { NativeRopeTable } from './attention.ts'

export type NativeBlockInputs = {
  samples: readonly SampleInputs[]
  /** Whether the backward pass computes the activations of a block again. */
  checkpoint: boolean
}

/** The inputs of one sample. */
export type SampleInputs = {
  /** The noise level of each token, `[N]`: 0 where it is clean, 1 where it has the sigma of the sample. */
  levels: tf.Tensor1D
  rope: NativeRopeTable
  /** By noise level, `[2, 9 · D]`. */
  modulation: tf.Tensor2D
  /** `[1, 2 · D]`. */
  contextModulation: tf.Tensor2D
  /** `[S, D]`. */
  context: tf.Tensor2D
}

/** @param noisy for each token whether it has the sigma of the sample. */
export function nativeBlockInputs(
  { blocks, checkpointing }: { blocks: readonly Block[]; checkpointing: Checkpointing },
  {
    noisy,
    rope,
    context,
    modulation,
    contextModulation,
  }: Omit<BlockInputs, 'toTokens'> & { noisy: readonly (0 | 1)[] },
): NativeBlockInputs {
  const [first] = blocks
  const [batch, textTokens, width] = context.shape
  const tokensLast = (x: tf.Tensor4D) => tf.transpose(tf.squeeze<tf.Tensor3D>(x, [0]), [0, 2, 1])
  const ofSample = <T extends tf.Tensor>(x: T, sample: number): T => {
    if (batch === 1) return x
    const rows = (x.shape[0] as number) / batch
    return tf.slice(x, [sample * rows], [rows])
  }
  const bytes = first ? blocks.length * savedActivationBytes(sizeOf(first), noisy.length, textTokens) : 0
  const shared = {
    levels: tf.tensor1d([...noisy], 'int32'),
    rope: { cos: tokensLast(rope.cos), sin: tokensLast(rope.sin) },
  }
  return {
    samples: Array.from({ length: batch }, (_, i) => ({
      ...shared,
      modulation: ofSample(modulation, i),
      contextModulation: ofSample(contextModulation, i),
      context: tf.reshape(ofSample(context, i), [textTokens, width]),
    })),
    checkpoint: shouldCheckpoint(checkpointing, bytes),
  }
}

const sizeOf = ({ selfAttention: { heads }, scaleShiftTable, feedForward: { up } }: Block): BlockSize => ({
  heads,
  width: scaleShiftTable.shape[1],
  inner: up.weight.shape[0],
})
