/** The layers of the native block in float32, compared with the automatic gradients of the portable layers. */
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import * as portable from '../../src/model/layers.ts'
import { modulate } from '../../src/model/transformer/block.ts'
import {
  feedForward,
  feedForwardGradient,
  type Layout,
  linear,
  linearGradient,
  modulatedNorm,
  modulatedNormGradient,
  type Rows,
} from '../../src/model/transformer/native/layers.ts'
import { hasNative } from '../engine/native.ts'
import {
  autodiff,
  expectAllClose,
  factorsOf,
  randomFeedForward,
  randomLinear,
  randomTensor,
  withFactors,
} from './layers.ts'

const [tokens, inputs, outputs] = [7, 10, 6]

/** A matrix of tokens, `[N, D]`, in another layout and back. */
const inLayout = (x: tf.Tensor, rows: Rows) => (rows === 'tokens' ? x : tf.transpose(x)) as tf.Tensor2D

describe.skipIf(!hasNative)('on native TensorFlow in float32', () => {
  beforeAll(async () => {
    await startBackend('tensorflow', { precision: 'float32' })
  })

  const layouts: [Rows, Rows][] = [
    ['tokens', 'tokens'],
    ['tokens', 'features'],
    ['features', 'tokens'],
    ['features', 'features'],
  ]
  describe.each(layouts)('a linear layer from %s to %s', (from, to) => {
    const layout: Layout = { from, to }
    it.each([
      ['with bias and LoRA', {}],
      ['with LoRA, without bias', { bias: false }],
      ['with a LoRA of scale 1', { scale: 1 }],
      ['with bias, without LoRA', { rank: 0 }],
      ['without bias and LoRA', { rank: 0, bias: false }],
    ])('%s has the value and gradients of the portable layer', (_, options) => {
      const layer = randomLinear('linear', [inputs, outputs], options)
      const x = randomTensor<tf.Rank.R2>('x', [tokens, inputs])
      const dy = randomTensor<tf.Rank.R2>('dy', [tokens, outputs])
      const { y, saved } = linear(layer, inLayout(x, from), layout)
      expectAllClose([inLayout(y, to)], [portable.linear(layer, x)])

      const gradient = linearGradient(layer, {
        ...{ x: inLayout(x, from), dy: inLayout(dy, to), saved, ...layout, needsInputGradient: true },
      })
      const expected = autodiff([x, ...factorsOf([layer])], dy, (x, ...factors) =>
        withFactors([layer], factors, () => portable.linear(layer, x as tf.Tensor2D)),
      )
      expectAllClose([inLayout(gradient.dx as tf.Tensor, from), ...gradient.factors], expected)
    })

    it('omits the gradient of the input on request', () => {
      const layer = randomLinear('linear', [inputs, outputs])
      const [x, dy] = [randomTensor('x', [tokens, inputs]), randomTensor('dy', [tokens, outputs])]
      const { saved } = linear(layer, inLayout(x, from), layout)
      const given = { x: inLayout(x, from), dy: inLayout(dy, to), saved, ...layout }
      const { dx, factors } = linearGradient(layer, { ...given, needsInputGradient: false })
      expect(dx).toBeUndefined()
      expectAllClose(factors, linearGradient(layer, { ...given, needsInputGradient: true }).factors)
    })
  })

  it.each([
    ['with LoRA', {}],
    ['without LoRA', { rank: 0 }],
  ])('a feed-forward layer %s has the value and gradients of the portable layer', (_, options) => {
    const layer = randomFeedForward(inputs, 24, options)
    const layers = [layer.up, layer.down]
    const x = randomTensor<tf.Rank.R2>('x', [tokens, inputs], 2)
    const dy = randomTensor('dy', [tokens, inputs])
    const portableFeedForward = (x: tf.Tensor) =>
      tf.squeeze(portable.feedForward(layer, tf.expandDims(x) as tf.Tensor3D), [0])
    const { y, saved } = feedForward(layer, x)
    expectAllClose([y], [portableFeedForward(x)])

    const { dx, factors } = feedForwardGradient(layer, dy, x, saved)
    const expected = autodiff([x, ...factorsOf(layers)], dy, (x, ...factors) =>
      withFactors(layers, factors, () => portableFeedForward(x as tf.Tensor)),
    )
    expectAllClose([dx, ...factors], expected)
  })

  it('the modulated norm has the value and gradient of the portable norm', () => {
    const x = randomTensor('x', [tokens, inputs], 3)
    const [shift, scale] = [randomTensor('shift', [tokens, inputs]), randomTensor('scale', [tokens, inputs])]
    const dy = randomTensor('dy', [tokens, inputs])
    const portableNorm = (x: tf.Tensor) => modulate(portable.rmsNorm(x) as never, shift as never, scale as never)
    expectAllClose([modulatedNorm(x, shift, scale)], [portableNorm(x)])
    expectAllClose([modulatedNormGradient(dy, x, scale)], autodiff([x], dy, portableNorm))
  })
})
