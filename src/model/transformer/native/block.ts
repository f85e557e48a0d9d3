/**
 * The block on native TensorFlow: the same function as `block`, with its gradient written by hand. Activations are saved in the precision of matrix
 * products, the residual stream in float32; what is cheap to compute is computed again.
 */
import * as tf from '@tensorflow/tfjs'
import { graphFunction } from '../../../engine/graph-function.ts'
import { add, gatherRows, toComputeDtype, toFloat32 } from '../../../engine/native-ops.ts'
import { customGradient } from '../../../engine/tensor-tree.ts'
import { modulationParams } from '../adaln.ts'
import { type Block, blockLinears, blockParams, shiftAndScale } from '../block.ts'
import { attention, attentionGradient, type KeyValue, projectKeyValue, type SavedAttention } from './attention.ts'
import type { NativeBlockInputs, SampleInputs } from './block-inputs.ts'
import {
  feedForward,
  feedForwardGradient,
  modulatedNorm,
  modulatedNormGradient,
  type SavedFeedForward,
} from './layers.ts'

/** `[B, N, D] → [B, N, D]`, one sample at a time. Differentiable in x and in the factors of a LoRA. */
export function nativeBlock(
  layer: Block,
  x: tf.Tensor3D,
  { samples, checkpoint }: NativeBlockInputs,
  skipSelfAttention: boolean,
): tf.Tensor3D {
  const [batch, tokens, width] = x.shape
  const streams = batch === 1 ? [tf.reshape(x, [tokens, width])] : tf.unstack(x)
  const outputs = samples.map((inputs, i) =>
    sampleBlock(layer, streams[i] as tf.Tensor2D, inputs, { checkpoint, skipSelfAttention }),
  )
  return batch === 1 ? tf.reshape(outputs[0] as tf.Tensor2D, x.shape) : (tf.stack(outputs) as tf.Tensor3D)
}

/** The forward pass is one function of the graph and the backward pass another; all blocks call the same two. */
function sampleBlock(
  layer: Block,
  x: tf.Tensor2D,
  inputs: SampleInputs,
  { checkpoint, skipSelfAttention }: { checkpoint: boolean; skipSelfAttention: boolean },
): tf.Tensor2D {
  const factors = blockLinears(layer).flatMap(({ lora }) => (lora ? [lora.a, lora.b] : []))
  return customGradient(
    [x, ...factors],
    () => {
      const text = graphFunction('text', { inputs: textKeyValueInputs(layer, inputs), after: x }, () =>
        textKeyValue(layer, inputs),
      )
      const blockInputs = { layer, x, inputs, text, checkpoint, skipSelfAttention }
      const { y, activations } = graphFunction('block', { inputs: blockInputs }, () => {
        const { y, activations } = forward(layer, x, inputs, text, skipSelfAttention)
        return { y, activations: checkpoint ? undefined : activations }
      })
      return { value: y, saved: { x, inputs, text: checkpoint ? undefined : text, activations } }
    },
    (dy, { x, inputs, ...saved }) =>
      graphFunction('gradient', { inputs: { layer, dy, x, inputs, ...saved, skipSelfAttention } }, () => {
        const text = saved.text ?? textKeyValue(layer, inputs)
        const activations = saved.activations ?? forward(layer, x, inputs, text, skipSelfAttention).activations
        return backward(layer, dy, x, inputs, text, activations)
      }),
  ) as tf.Tensor2D
}

/** Keys and values of the text: the same in every pass with the same context and sigma. */
const textKeyValue = (layer: Block, inputs: SampleInputs): KeyValue =>
  projectKeyValue(layer.crossAttention, modulatedContext(layer, inputs))

/** All that `textKeyValue` uses. */
const textKeyValueInputs = (
  { crossAttention, contextScaleShiftTable }: Block,
  { context, contextModulation }: SampleInputs,
) => {
  const { heads, key, value } = crossAttention
  return { heads, key, value, contextScaleShiftTable, context, contextModulation }
}

type Activations = {
  /** The outputs of self-attention and cross-attention before their gates. They are half the size of the residual stream, and give it again. */
  selfAttn: tf.Tensor
  crossAttn: tf.Tensor
  keyValue: KeyValue
  selfAttention: SavedAttention
  crossAttention: SavedAttention
  feedForward: SavedFeedForward
}

function forward(layer: Block, x: tf.Tensor, inputs: SampleInputs, text: KeyValue, skipSelfAttention: boolean) {
  const params = tokenParams(layer, inputs)
  const attnInput = modulatedNorm(x, params.shiftMsa, params.scaleMsa)
  const keyValue = projectKeyValue(layer.selfAttention, attnInput, skipSelfAttention)
  const selfAttn = attention(layer.selfAttention, attnInput, keyValue, inputs.rope)
  const afterSelfAttn = addGated(x, params.gateMsa, selfAttn.y)

  const crossAttnInput = modulatedNorm(afterSelfAttn, params.shiftCa, params.scaleCa)
  const crossAttn = attention(layer.crossAttention, crossAttnInput, text)
  const afterCrossAttn = addGated(afterSelfAttn, params.gateCa, crossAttn.y)

  const ff = feedForward(layer.feedForward, modulatedNorm(afterCrossAttn, params.shiftMlp, params.scaleMlp))
  const y = addGated(afterCrossAttn, params.gateMlp, ff.y)
  const saved = { selfAttention: selfAttn.saved, crossAttention: crossAttn.saved, feedForward: ff.saved }
  const activations: Activations = { selfAttn: selfAttn.y, crossAttn: crossAttn.y, keyValue, ...saved }
  return { y, activations }
}

/** The gradients of x and of the LoRA factors, in the order of `blockLinears`. */
function backward(
  layer: Block,
  dy: tf.Tensor,
  x: tf.Tensor,
  inputs: SampleInputs,
  text: KeyValue,
  { selfAttn, crossAttn, keyValue, ...saved }: Activations,
) {
  const params = tokenParams(layer, inputs)
  const throughGate = (gate: tf.Tensor, d: tf.Tensor) => toComputeDtype(tf.mul(d, gate))

  const afterSelfAttn = addGated(x, params.gateMsa, selfAttn)
  const afterCrossAttn = addGated(afterSelfAttn, params.gateCa, crossAttn)
  const ffInput = modulatedNorm(afterCrossAttn, params.shiftMlp, params.scaleMlp)
  const ffGrad = feedForwardGradient(layer.feedForward, throughGate(params.gateMlp, dy), ffInput, saved.feedForward)
  const dAfterCrossAttn = tf.add(dy, modulatedNormGradient(toFloat32(ffGrad.dx), afterCrossAttn, params.scaleMlp))

  const crossAttnGrad = attentionGradient(layer.crossAttention, {
    dy: throughGate(params.gateCa, dAfterCrossAttn),
    x: modulatedNorm(afterSelfAttn, params.shiftCa, params.scaleCa),
    context: modulatedContext(layer, inputs),
    keyValue: text,
    saved: saved.crossAttention,
    needsContextGradient: false,
  })
  const dCrossAttnInput = toFloat32(sum(crossAttnGrad.dx))
  const dAfterSelfAttn = tf.add(dAfterCrossAttn, modulatedNormGradient(dCrossAttnInput, afterSelfAttn, params.scaleCa))

  const attnInput = modulatedNorm(x, params.shiftMsa, params.scaleMsa)
  const selfAttnGrad = attentionGradient(layer.selfAttention, {
    dy: throughGate(params.gateMsa, dAfterSelfAttn),
    x: attnInput,
    context: attnInput,
    rope: inputs.rope,
    keyValue,
    saved: saved.selfAttention,
    needsContextGradient: true,
  })
  const dAttnInput = toFloat32(sum([...selfAttnGrad.dx, ...selfAttnGrad.dContext]))
  const dx = tf.add(dAfterSelfAttn, modulatedNormGradient(dAttnInput, x, params.scaleMsa))
  return [dx, ...selfAttnGrad.factors, ...crossAttnGrad.factors, ...ffGrad.factors]
}

/** The modulation of each token, every part `[N, D]`. */
const tokenParams = ({ scaleShiftTable }: Block, { modulation, levels }: SampleInputs) =>
  modulationParams(blockParams, scaleShiftTable, modulation, (part) => gatherRows(part, levels))

/** context · (1 + scale) + shift, `[S, D]`. */
function modulatedContext({ contextScaleShiftTable }: Block, { context, contextModulation }: SampleInputs): tf.Tensor {
  const params = modulationParams(shiftAndScale, contextScaleShiftTable, contextModulation, (part) => part)
  return toComputeDtype(tf.add(tf.mul(context, tf.add(params.scale, 1)), params.shift))
}

/** The residual stream after a part of the block whose output is y. */
const addGated = (x: tf.Tensor, gate: tf.Tensor, y: tf.Tensor): tf.Tensor => tf.add(x, tf.mul(gate, toFloat32(y)))

const sum = ([first, ...others]: tf.Tensor[]): tf.Tensor =>
  others.reduce((total, part) => add(total, part), first as tf.Tensor)
