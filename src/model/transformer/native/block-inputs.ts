/** What the blocks are told on native TensorFlow, worked out once for all of them, and whether they keep their activations. */
import * as tf from '@tensorflow/tfjs'
import { mustRecompute } from '../../../engine/checkpointing.ts'
import { currentPrecision } from '../../../engine/precision.ts'
import type { Block, Conditioning } from '../block.ts'
import type { TransformerInput } from '../transformer.ts'
import type { Turn } from './attention.ts'

export type NativeConditioning = {
  shared: Shared
  /** Whether the gradient computes every block again, because there is no room to keep their activations. */
  recompute: boolean
  samples: readonly OfSample[]
}

/** What is the same for all samples. */
type Shared = {
  /** Each token's noise level, `[N]`: 0 where it is clean, 1 where it has the sample's sigma. */
  levels: tf.Tensor1D
  turn: Turn
}

type OfSample = {
  /** The modulation of each noise level, `[levels, 9 · D]`, and that of the context, `[1, 2 · D]`. */
  modulation: tf.Tensor2D
  contextModulation: tf.Tensor2D
  /** `[S, D]`. */
  context: tf.Tensor2D
}

export function nativeConditioning(
  { blocks }: { blocks: readonly Block[] },
  {
    noisy,
    rotation: { cos, sin },
    context,
    ...modulations
  }: Pick<TransformerInput, 'noisy' | 'rotation' | 'context'> & Pick<Conditioning, 'modulation' | 'contextModulation'>,
): NativeConditioning {
  const [first] = blocks
  const [batch, texts, width] = context.shape
  const byColumns = (x: tf.Tensor4D) => tf.transpose(tf.squeeze<tf.Tensor3D>(x, [0]), [0, 2, 1])
  const part = <T extends tf.Tensor>(x: T, sample: number): T => {
    if (batch === 1) return x
    const rows = (x.shape[0] as number) / batch
    return tf.slice(x, [sample * rows], [rows])
  }
  return {
    shared: { levels: tf.tensor1d([...noisy], 'int32'), turn: { cos: byColumns(cos), sin: byColumns(sin) } },
    recompute: first ? mustRecompute(blocks.length * keptBytes(sizeOf(first), noisy.length, texts)) : false,
    samples: Array.from({ length: batch }, (_, i) => ({
      modulation: part(modulations.modulation, i),
      contextModulation: part(modulations.contextModulation, i),
      context: tf.reshape(part(context, i), [texts, width]),
    })),
  }
}

type BlockSize = { heads: number; width: number; inner: number }

const sizeOf = ({ selfAttention: { heads }, table, feedForward: { up } }: Block): BlockSize => ({
  heads,
  width: table.shape[1],
  inner: up.weight.shape[0],
})

/** What one block keeps for its gradient: the residual stream, ten narrow matrices, text keys and values, both attentions' weights. */
export function keptBytes({ heads, width, inner }: BlockSize, tokens: number, texts: number): number {
  const [narrow, wide] = [currentPrecision() === 'float32' ? 4 : 2, 4]
  return (
    tokens * (width * (wide + 10 * narrow) + inner * narrow) +
    narrow * (2 * texts * width + heads * tokens * (tokens + texts))
  )
}

/** What a block is told of one sample. */
export type Given = Shared & OfSample
