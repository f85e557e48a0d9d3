/** The gradients of linear layers, feed-forward and norm, compared with the automatic gradients of the same computations. */
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { differentiableOperations } from '../../../src/engine/composed-operations.ts'
import { currentOperations } from '../../../src/engine/current-operations.ts'
import type { Layout, Operations, Rows } from '../../../src/engine/operations.ts'
import { feedForward, feedForwardGradient } from '../../../src/model/feed-forward.ts'
import {
  autodiff,
  backends,
  expectAllClose,
  factorsOf,
  randomFeedForward,
  randomLinear,
  randomTensor,
  startInFloat32,
  withFactors,
} from './layers.ts'

const [tokens, inputs, outputs] = [7, 10, 6]

/** Two rows, spread over the tokens. */
const rowsByLevel = (name: string) => {
  const rows = randomTensor<tf.Rank.R2>(name, [2, inputs])
  return (ops: Operations) => ops.rowsOfLevels(rows, ops.levels([0, 0, 1, 0, 1, 1, 1]))
}

/** A matrix of tokens, `[N, D]`, in another layout and back. */
const inLayout = (x: tf.Tensor, rows: Rows) => (rows === 'tokens' ? x : tf.transpose(x)) as tf.Tensor2D

const layouts: [Rows, Rows][] = [
  ['tokens', 'tokens'],
  ['tokens', 'features'],
  ['features', 'tokens'],
  ['features', 'features'],
]

describe.each(backends)('on %s, the gradient of', (backend) => {
  let ops = {} as Operations
  beforeAll(async () => {
    await startInFloat32(backend)
    ops = currentOperations()
  })

  describe.each(layouts)('a linear layer from %s to %s', (from, to) => {
    const layout: Layout = { from, to }
    it.each([
      ['with bias and LoRA', {}],
      ['with LoRA, without bias', { bias: false }],
      ['with a LoRA of scale 1', { scale: 1 }],
      ['with bias, without LoRA', { rank: 0 }],
      ['without bias and LoRA', { rank: 0, bias: false }],
    ])('%s equals the automatic gradient', (_, options) => {
      const layer = randomLinear('linear', [inputs, outputs], options)
      const x = inLayout(randomTensor('x', [tokens, inputs]), from)
      const dy = inLayout(randomTensor('dy', [tokens, outputs]), to)
      const { y, saved } = ops.linear(layer, x, layout)
      expect(y.shape).toEqual(dy.shape)
      expectAllClose([y], [differentiableOperations.linear(layer, x, layout).y])

      const gradient = ops.linearGradient(layer, { x, dy, saved, ...layout, needsInputGradient: true })
      const expected = autodiff([x, ...factorsOf([layer])], dy, (x, ...factors) =>
        withFactors([layer], factors, () => differentiableOperations.linear(layer, x as tf.Tensor, layout).y),
      )
      expectAllClose([gradient.dx as tf.Tensor, ...gradient.factors], expected)
    })

    it('omits that of the input on request', () => {
      const layer = randomLinear('linear', [inputs, outputs])
      const [x, dy] = [randomTensor('x', [tokens, inputs]), randomTensor('dy', [tokens, outputs])]
      const { saved } = ops.linear(layer, inLayout(x, from), layout)
      const given = { x: inLayout(x, from), dy: inLayout(dy, to), saved, ...layout }
      const { dx, factors } = ops.linearGradient(layer, { ...given, needsInputGradient: false })
      expect(dx).toBeUndefined()
      expectAllClose(factors, ops.linearGradient(layer, { ...given, needsInputGradient: true }).factors)
    })
  })

  it('a linear layer is that of x · Wᵀ + b + scale · (x · Aᵀ) · Bᵀ', () => {
    const layer = randomLinear('linear', [inputs, outputs])
    const x = randomTensor<tf.Rank.R2>('x', [tokens, inputs])
    const { a, b, scale } = layer.lora as { a: tf.Tensor2D; b: tf.Tensor2D; scale: number }
    const weight = tf.add<tf.Tensor2D>(layer.weight.stored, tf.mul(tf.matMul(b, a), scale))
    const expected = tf.add(tf.matMul(x, weight, false, true), layer.bias as tf.Tensor1D)
    expectAllClose([ops.linear(layer, x, { from: 'tokens', to: 'tokens' }).y], [expected])
  })

  it.each([
    ['with LoRA', {}],
    ['without LoRA', { rank: 0 }],
  ])('a feed-forward layer %s equals the automatic gradient', (_, options) => {
    const layer = randomFeedForward(inputs, 24, options)
    const layers = [layer.up, layer.down]
    const x = randomTensor<tf.Rank.R2>('x', [tokens, inputs], 2)
    const dy = randomTensor('dy', [tokens, inputs])
    const { y, saved } = feedForward(ops, layer, x)
    expectAllClose([y], [feedForward(differentiableOperations, layer, x).y])

    const { dx, factors } = feedForwardGradient(ops, layer, { dy, x, saved })
    const expected = autodiff([x, ...factorsOf(layers)], dy, (x, ...factors) =>
      withFactors(layers, factors, () => feedForward(differentiableOperations, layer, x as tf.Tensor).y),
    )
    expectAllClose([dx, ...factors], expected)
  })

  it('the modulated norm equals the automatic gradient', () => {
    const x = randomTensor('x', [tokens, inputs], 3)
    const [shift, scale] = [rowsByLevel('shift'), rowsByLevel('scale')]
    const [dy, dy2] = [randomTensor('dy', [tokens, inputs]), randomTensor('dy 2', [tokens, inputs])]
    const residual = randomTensor('residual', [tokens, inputs])
    const norm = (x: tf.Tensor) =>
      differentiableOperations.modulatedNorm(x, shift(differentiableOperations), scale(differentiableOperations))
    expectAllClose([ops.modulatedNorm(x, shift(ops), scale(ops))], [norm(x)])
    const [dx] = autodiff([x], tf.add(dy, dy2), norm) as [tf.Tensor]
    const actual = ops.modulatedNormGradient({ dy: [dy, dy2], x, scale: scale(ops), residual })
    expectAllClose([actual], [tf.add(residual, dx)])
  })
})
