/** Attention of the native block in float32, compared with the automatic gradients of the portable attention. */
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { type Attention, type AttentionOptions, attention as portableAttention } from '../../src/model/attention.ts'
import { type RopeTable, ropeTable } from '../../src/model/rope.ts'
import {
  attention,
  attentionGradient,
  type NativeRopeTable,
  projectKeyValue,
} from '../../src/model/transformer/native/attention.ts'
import { hasNative } from '../engine/native.ts'
import { autodiff, expectAllClose, factorsOf, randomAttention, randomTensor, withFactors } from './layers.ts'

const [tokens, textTokens, heads, width, contextWidth] = [7, 5, 2, 12, 10]

const layersOf = ({ key, query, value, output }: Attention) => [key, query, value, output]

/** `[1, H, N, d / 2] → [H, d / 2, N]`. */
const nativeRope = ({ cos, sin }: RopeTable): NativeRopeTable => {
  const toNative = (x: tf.Tensor4D) => tf.transpose(tf.squeeze<tf.Tensor3D>(x, [0]), [0, 2, 1])
  return { cos: toNative(cos), sin: toNative(sin) }
}

const sum = (tensors: readonly tf.Tensor[]) => tf.addN([...tensors])

type Case = { layer: Attention; x: tf.Tensor2D; context: tf.Tensor2D; options?: AttentionOptions }

/** The value, and the gradients of x, of the context and of all factors. */
function compare({ layer, x, context, options = {} }: Case) {
  const { rope, skipSelfAttention } = options
  const dy = randomTensor('dy', [tokens, width])
  const portable = (x: tf.Tensor, context: tf.Tensor) => {
    const batch = (y: tf.Tensor) => tf.expandDims(y) as tf.Tensor3D
    return tf.squeeze(portableAttention(layer, batch(x), batch(context), options), [0])
  }
  const native = rope && nativeRope(rope)
  const keyValue = projectKeyValue(layer, context, skipSelfAttention)
  const { y, saved } = attention(layer, x, keyValue, native)
  expectAllClose([y], [portable(x, context)])

  const gradient = attentionGradient(layer, {
    ...{ dy, x, context, rope: native, keyValue, saved, needsContextGradient: true },
  })
  const layers = layersOf(layer)
  const [dx, dContext, ...factors] = autodiff([x, context, ...factorsOf(layers)], dy, (x, context, ...factors) =>
    withFactors(layers, factors, () => portable(x as tf.Tensor, context as tf.Tensor)),
  ) as [tf.Tensor, tf.Tensor, ...tf.Tensor[]]
  return { gradient, dx, dContext, factors }
}

function expectSame(given: Case) {
  const { gradient, dx, dContext, factors } = compare(given)
  expectAllClose([sum(gradient.dx), sum(gradient.dContext), ...gradient.factors], [dx, dContext, ...factors])
}

describe.skipIf(!hasNative)('attention on native TensorFlow in float32', () => {
  let [x, context, text] = [] as unknown as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D]
  let rope = {} as RopeTable
  beforeAll(async () => {
    await startBackend('tensorflow', { precision: 'float32' })
    x = randomTensor('x', [tokens, width])
    context = randomTensor('context', [tokens, width])
    text = randomTensor('text', [textTokens, contextWidth])
    const positions = Array.from({ length: tokens }, (_, i) => i / 30)
    rope = ropeTable(positions, { heads, headDim: width / heads, theta: 100 })
  })

  it.each([
    ['with gates and LoRA', {}],
    ['without gates', { gate: false }],
    ['without LoRA', { rank: 0 }],
    ['without biases', { bias: false }],
  ])('with positions, %s, has the value and gradients of the portable attention', (_, options) =>
    expectSame({ layer: randomAttention({ heads, width, ...options }), x, context, options: { rope } }),
  )

  it.each([
    ['with gates and LoRA', {}],
    ['without gates', { gate: false }],
    ['without LoRA', { rank: 0 }],
  ])('to a text of another width, %s, has the value and gradients of the portable attention', (_, options) =>
    expectSame({ layer: randomAttention({ heads, width, contextWidth, ...options }), x, context: text }),
  )

  it('omits the gradient of the context on request', () => {
    const layer = randomAttention({ heads, width, contextWidth })
    const keyValue = projectKeyValue(layer, text)
    const { saved } = attention(layer, x, keyValue)
    const dy = randomTensor('dy', [tokens, width])
    const given = { dy, x, context: text, keyValue, saved }
    const [without, full] = [false, true].map((needsContextGradient) =>
      attentionGradient(layer, { ...given, needsContextGradient }),
    ) as [ReturnType<typeof attentionGradient>, ReturnType<typeof attentionGradient>]
    expect(without.dContext).toEqual([])
    expectAllClose([sum(without.dx), ...without.factors], [sum(full.dx), ...full.factors])
  })

  it.each(['key', 'value'] as const)('has the gradients of a LoRA on only the %s layer', (name) => {
    const layer = randomAttention({ heads, width, contextWidth, rank: 0 })
    const adapted = randomAttention({ heads, width, contextWidth })[name]
    Object.assign(layer, { [name]: adapted })
    const { factors } = compare({ layer, x, context: text })
    const keyValue = projectKeyValue(layer, text)
    const { saved } = attention(layer, x, keyValue)
    const dy = randomTensor('dy', [tokens, width])
    const gradient = attentionGradient(layer, { dy, x, context: text, keyValue, saved, needsContextGradient: false })
    expectAllClose(gradient.factors, factors)
  })

  it.each([
    ['with gates', {}],
    ['without gates', { gate: false }],
  ])('that is skipped, %s, has the value and gradients of the portable attention', (_, options) => {
    const layer = randomAttention({ heads, width, ...options })
    const skipped = { layer, x, context, options: { rope, skipSelfAttention: true } }
    const { gradient, dx, dContext, factors } = compare(skipped)
    expect(gradient.dx).toHaveLength(layer.gate ? 1 : 0)
    expectAllClose(gradient.dx, layer.gate ? [dx] : [])
    // keys and queries are not used
    expectAllClose([sum(gradient.dContext), ...gradient.factors], [dContext, ...factors], { zeros: 4 })
  })
})
