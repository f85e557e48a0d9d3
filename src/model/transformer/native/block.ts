/**
 * A block of the audio stream on native TensorFlow: the same function as `block`, with its gradient by hand. What is kept for the gradient is in
 * the precision of the weights but for the residual stream; what is cheap is computed again.
 */
import * as tf from '@tensorflow/tfjs'
import { byHand } from '../../../engine/by-hand.ts'
import { add, narrow, rowsAt, wide } from '../../../engine/ops.ts'
import { outlined } from '../../../engine/outlined.ts'
import type { Linear } from '../../linear.ts'
import type { Block } from '../block.ts'
import { attention, attentionGradient, type KeptAttention } from './attention.ts'
import type { Given, NativeConditioning } from './conditioning.ts'
import { feedForward, feedForwardGradient, type KeptFeedForward } from './feed-forward.ts'
import { inverseRms, normGradient } from './norm.ts'

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
