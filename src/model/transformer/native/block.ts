/**
 * A block of the audio stream on native TensorFlow: the same function as `block`, with its gradient by hand. What is kept for the gradient is in
 * the precision of the weights but for the residual stream; what is cheap is computed again.
 */
import * as tf from '@tensorflow/tfjs'
import { byHand } from '../../../engine/by-hand.ts'
import { mustRecompute } from '../../../engine/keeping.ts'
import { add, narrow, rowsAt, wide } from '../../../engine/ops.ts'
import { outlined } from '../../../engine/outlined.ts'
import { currentPrecision } from '../../../engine/precision.ts'
import type { Linear } from '../../linear.ts'
import type { Block, Conditioning } from '../block.ts'
import type { TransformerInput } from '../transformer.ts'
import { attention, attentionGradient, type KeptAttention, type Turn } from './attention.ts'
import { feedForward, feedForwardGradient, type KeptFeedForward } from './feed-forward.ts'
import { inverseRms, normGradient } from './norm.ts'

/** What the blocks are told. */
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

/** `[B, N, D] → [B, N, D]`, one sample at a time. */
export function nativeBlock(
  layer: Block,
  x: tf.Tensor3D,
  { shared, recompute, samples }: NativeConditioning,
  passValues: boolean,
): tf.Tensor3D {
  const [batch, tokens, width] = x.shape
  const each = batch === 1 ? [tf.reshape(x, [tokens, width])] : tf.unstack(x)
  const done = samples.map((sample, i) =>
    nativeSample(layer, each[i] as tf.Tensor2D, { ...shared, ...sample }, { recompute, passValues }),
  )
  return batch === 1 ? tf.reshape(done[0] as tf.Tensor2D, x.shape) : (tf.stack(done) as tf.Tensor3D)
}

type Given = Shared & OfSample

/** The block is one function of the graph, and its gradient another: all blocks call the same two. */
function nativeSample(
  layer: Block,
  x: tf.Tensor2D,
  given: Given,
  { recompute, passValues }: { recompute: boolean; passValues: boolean },
): tf.Tensor2D {
  const trained = linearsOf(layer).flatMap(({ lora }) => (lora ? [lora.a, lora.b] : []))
  return byHand(
    [x, ...trained],
    () => {
      const { value, activations } = outlined('block', { given: { layer, x, given, recompute, passValues } }, () => {
        const { value, activations } = forward(layer, x, given, passValues)
        return { value, activations: recompute ? undefined : activations }
      })
      return { value, kept: { x, given, activations } }
    },
    (dy, { x, given, activations }) =>
      outlined('gradient', { given: { layer, dy, x, given, activations, passValues } }, () =>
        backward(layer, dy, x, given, activations ?? forward(layer, x, given, passValues).activations),
      ),
  ) as tf.Tensor2D
}

/** In the order in which gradients are given. */
export const linearsOf = ({ selfAttention, textAttention, feedForward }: Block): Linear[] => [
  ...[selfAttention, textAttention].flatMap(({ query, key, value, output }) => [query, key, value, output]),
  feedForward.up,
  feedForward.down,
]

type Activations = {
  /** What self-attention and text attention add to the residual stream, before their gates: half the size of the stream itself. */
  selfAdds: tf.Tensor
  textAdds: tf.Tensor
  self: KeptAttention
  text: KeptAttention
  fed: KeptFeedForward
}

function forward(layer: Block, x: tf.Tensor, given: Given, passValues: boolean) {
  const { levels, turn, context } = given
  const { rows, contextRows } = rowsOf(layer, given)
  const row = spread(rows, levels)
  const heard = modulated(x, row(0), row(1))
  const self = attention(layer.selfAttention, heard, heard, { turn, passValues })
  const mixed = added(x, row(2), self.y)

  const text = attention(layer.textAttention, modulated(mixed, row(6), row(7)), shifted(context, contextRows), {
    passValues: false,
  })
  const told = added(mixed, row(8), text.y)

  const fed = feedForward(layer.feedForward, modulated(told, row(3), row(4)))
  const value = added(told, row(5), fed.y)
  const activations: Activations = {
    selfAdds: self.y,
    textAdds: text.y,
    self: self.kept,
    text: text.kept,
    fed: fed.kept,
  }
  return { value, activations }
}

/** The gradients of x and of all factors, in the order of `linearsOf`. What was a moment's work going forward is computed again. */
function backward(
  layer: Block,
  dy: tf.Tensor,
  x: tf.Tensor,
  given: Given,
  { selfAdds, textAdds, self, text, fed }: Activations,
) {
  const { levels, turn, context } = given
  const { rows, contextRows } = rowsOf(layer, given)
  const row = spread(rows, levels)
  const through = (gate: number, d: tf.Tensor) => narrow(tf.mul(d, row(gate)))

  const mixed = added(x, row(2), selfAdds)
  const told = added(mixed, row(8), textAdds)
  const eaten = modulated(told, row(3), row(4))
  const feeding = feedForwardGradient(layer.feedForward, through(5, dy), eaten, fed)
  const dTold = tf.add(dy, modulatedGradient(wide(feeding.dx), told, row(4)))

  const asked = { x: modulated(mixed, row(6), row(7)), context: shifted(context, contextRows) }
  const telling = attentionGradient(layer.textAttention, through(8, dTold), asked, text, false)
  const dMixed = tf.add(dTold, modulatedGradient(wide(total(telling.dx)), mixed, row(7)))

  const heard = modulated(x, row(0), row(1))
  const mixing = attentionGradient(
    layer.selfAttention,
    through(2, dMixed),
    { x: heard, context: heard, turn },
    self,
    true,
  )
  const dHeard = wide(total([...mixing.dx, ...mixing.dContext]))
  const dx = tf.add(dMixed, modulatedGradient(dHeard, x, row(1)))
  return [dx, ...mixing.factors, ...telling.factors, ...feeding.factors]
}

/** Shift, scale and gate of each noise level, `[9, levels, D]`, and shift and scale of the context, `[2, 1, D]`: the block's tables added. */
function rowsOf({ table, contextTable }: Block, { modulation, contextModulation }: Given) {
  const part = (x: tf.Tensor2D, table: tf.Tensor2D) => {
    const summed = tf.add(tf.reshape(x, [x.shape[0], table.shape[0], -1]), table)
    return tf.transpose(summed, [1, 0, 2]) as tf.Tensor3D
  }
  return { rows: part(modulation, table), contextRows: part(contextModulation, contextTable) }
}

/** Row r of each noise level, brought to the tokens: `[N, D]`. */
const spread = (rows: tf.Tensor3D, levels: tf.Tensor1D) => {
  const each = tf.unstack(rows) as tf.Tensor2D[]
  return (row: number) => rowsAt(each[row] as tf.Tensor2D, levels)
}

/** The residual stream with what a part of the block adds to it. */
const added = (x: tf.Tensor, gate: tf.Tensor, y: tf.Tensor): tf.Tensor => tf.add(x, tf.mul(gate, wide(y)))

/** norm(x) · (1 + scale) + shift. */
const modulated = (x: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor) =>
  narrow(tf.add(tf.mul(tf.mul(x, inverseRms(x, 1)), tf.add(scale, 1)), shift))

/** context · (1 + scale) + shift. */
function shifted(context: tf.Tensor, rows: tf.Tensor): tf.Tensor {
  const [shift, scale] = tf.unstack(rows) as [tf.Tensor, tf.Tensor]
  return narrow(tf.add(tf.mul(context, tf.add(scale, 1)), shift))
}

function modulatedGradient(dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor): tf.Tensor {
  const inverse = inverseRms(x, 1)
  return normGradient(tf.mul(dy, tf.add(scale, 1)), tf.mul(x, inverse), inverse, 1)
}

const total = ([first, ...rest]: tf.Tensor[]): tf.Tensor =>
  rest.reduce((sum, part) => add(sum, part), first as tf.Tensor)
