/**
 * A block of the audio stream on native TensorFlow: the same function as `block`, with its gradient by hand. What is kept for the gradient is in
 * the precision of the weights but for the residual stream; what is cheap is computed again.
 */
import * as tf from '@tensorflow/tfjs'
import { byHand } from '../../../engine/custom-gradient.ts'
import { outlined } from '../../../engine/graph-function.ts'
import { add, narrow, rowsAt, wide } from '../../../engine/ops.ts'
import type { Linear } from '../../layers.ts'
import type { Block } from '../block.ts'
import { attention, attentionGradient, type Heard, hear, type KeptAttention } from './attention.ts'
import type { Given, NativeConditioning } from './block-inputs.ts'
import { feedForward, feedForwardGradient, inverseRms, type KeptFeedForward, normGradient } from './layers.ts'

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
      const text = outlined('text', { given: textInputs(layer, given), after: x }, () => heardText(layer, given))
      const { y, activations } = outlined('block', { given: { layer, x, given, text, recompute, passValues } }, () => {
        const { y, activations } = forward(layer, x, given, text, passValues)
        return { y, activations: recompute ? undefined : activations }
      })
      return { value: y, kept: { x, given, text: recompute ? undefined : text, activations } }
    },
    (dy, { x, given, text, activations }) =>
      outlined('gradient', { given: { layer, dy, x, given, text, activations, passValues } }, () => {
        const heard = text ?? heardText(layer, given)
        const kept = activations ?? forward(layer, x, given, heard, passValues).activations
        return backward(layer, dy, x, given, heard, kept)
      }),
  ) as tf.Tensor2D
}

/** In the order in which gradients are given. */
export const linearsOf = ({ selfAttention, textAttention, feedForward }: Block): Linear[] => [
  ...[selfAttention, textAttention].flatMap(({ query, key, value, output }) => [query, key, value, output]),
  feedForward.up,
  feedForward.down,
]

/** Keys and values of the text: the same in every pass with the same context and noise level. */
const heardText = (layer: Block, given: Given): Heard =>
  hear(layer.textAttention, contextOf(layer, given), { passValues: false })

/** All that `heardText` looks at. */
const textInputs = ({ textAttention, contextTable }: Block, { context, contextModulation }: Given) => {
  const { heads, key, value } = textAttention
  return { heads, key, value, contextTable, context, contextModulation }
}

type Activations = {
  /** What self-attention and text attention add to the residual stream, before their gates: half the size of the stream itself. */
  selfAdds: tf.Tensor
  textAdds: tf.Tensor
  tokens: Heard
  self: KeptAttention
  asking: KeptAttention
  fed: KeptFeedForward
}

function forward(layer: Block, x: tf.Tensor, given: Given, text: Heard, passValues: boolean) {
  const row = rowsOf(layer, given)
  const heard = modulated(x, row(0), row(1))
  const tokens = hear(layer.selfAttention, heard, { passValues })
  const self = attention(layer.selfAttention, heard, tokens, given.turn)
  const mixed = added(x, row(2), self.y)

  const asking = attention(layer.textAttention, modulated(mixed, row(6), row(7)), text)
  const told = added(mixed, row(8), asking.y)

  const fed = feedForward(layer.feedForward, modulated(told, row(3), row(4)))
  const y = added(told, row(5), fed.y)
  const kept = { tokens, self: self.kept, asking: asking.kept, fed: fed.kept }
  const activations: Activations = { selfAdds: self.y, textAdds: asking.y, ...kept }
  return { y, activations }
}

/** The gradients of x and of all factors, in the order of `linearsOf`. What was a moment's work going forward is computed again. */
function backward(
  layer: Block,
  dy: tf.Tensor,
  x: tf.Tensor,
  given: Given,
  text: Heard,
  { selfAdds, textAdds, tokens, self, asking, fed }: Activations,
) {
  const row = rowsOf(layer, given)
  const through = (gate: number, d: tf.Tensor) => narrow(tf.mul(d, row(gate)))

  const mixed = added(x, row(2), selfAdds)
  const told = added(mixed, row(8), textAdds)
  const eaten = modulated(told, row(3), row(4))
  const feeding = feedForwardGradient(layer.feedForward, through(5, dy), eaten, fed)
  const dTold = tf.add(dy, modulatedGradient(wide(feeding.dx), told, row(4)))

  const asked = { x: modulated(mixed, row(6), row(7)), context: contextOf(layer, given) }
  const telling = attentionGradient(layer.textAttention, through(8, dTold), asked, text, asking, false)
  const dMixed = tf.add(dTold, modulatedGradient(wide(total(telling.dx)), mixed, row(7)))

  const heard = modulated(x, row(0), row(1))
  const heads = { x: heard, context: heard, turn: given.turn }
  const mixing = attentionGradient(layer.selfAttention, through(2, dMixed), heads, tokens, self, true)
  const dHeard = wide(total([...mixing.dx, ...mixing.dContext]))
  const dx = tf.add(dMixed, modulatedGradient(dHeard, x, row(1)))
  return [dx, ...mixing.factors, ...telling.factors, ...feeding.factors]
}

/** Shift, scale and gate of each token's noise level, the block's table added: row r as `[N, D]`. */
function rowsOf({ table }: Block, { modulation, levels }: Given) {
  const each = tf.unstack(tabled(modulation, table)) as tf.Tensor2D[]
  return (row: number) => rowsAt(each[row] as tf.Tensor2D, levels)
}

/** The context as the block hears it: context · (1 + scale) + shift, `[S, D]`. */
function contextOf({ contextTable }: Block, { context, contextModulation }: Given): tf.Tensor {
  const [shift, scale] = tf.unstack(tabled(contextModulation, contextTable)) as [tf.Tensor, tf.Tensor]
  return narrow(tf.add(tf.mul(context, tf.add(scale, 1)), shift))
}

/** The modulation of each noise level with a block's table added, `[levels, R · D], [R, D] → [R, levels, D]`. */
function tabled(modulation: tf.Tensor2D, table: tf.Tensor2D): tf.Tensor {
  const summed = tf.add(tf.reshape(modulation, [modulation.shape[0], table.shape[0], -1]), table)
  return tf.transpose(summed, [1, 0, 2])
}

/** The residual stream with what a part of the block adds to it. */
const added = (x: tf.Tensor, gate: tf.Tensor, y: tf.Tensor): tf.Tensor => tf.add(x, tf.mul(gate, wide(y)))

/** norm(x) · (1 + scale) + shift. */
const modulated = (x: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor) =>
  narrow(tf.add(tf.mul(tf.mul(x, inverseRms(x, 1)), tf.add(scale, 1)), shift))

function modulatedGradient(dy: tf.Tensor, x: tf.Tensor, scale: tf.Tensor): tf.Tensor {
  const inverse = inverseRms(x, 1)
  return normGradient(tf.mul(dy, tf.add(scale, 1)), tf.mul(x, inverse), inverse, 1)
}

const total = ([first, ...rest]: tf.Tensor[]): tf.Tensor =>
  rest.reduce((sum, part) => add(sum, part), first as tf.Tensor)
