/** The gradient of attention, compared with the automatic gradient of the same computation. */
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { differentiableOperations } from '../../../src/engine/composed-operations.ts'
import { currentOperations } from '../../../src/engine/current-operations.ts'
import type { Operations, RotaryTable } from '../../../src/engine/operations.ts'
import { type Attention, attention, attentionGradient, projectKeyValue } from '../../../src/model/attention.ts'
import { ropeTable, tokensLast } from '../../../src/model/rope.ts'
import {
  autodiff,
  backends,
  expectAllClose,
  factorsOf,
  randomAttention,
  randomTensor,
  startInFloat32,
  withFactors,
} from './layers.ts'

const [tokens, textTokens, heads, width, contextWidth] = [7, 5, 2, 12, 10]

const layersOf = ({ key, query, value, output }: Attention) => [key, query, value, output]

const sum = (tensors: readonly tf.Tensor[]) => tf.addN([...tensors])

type Case = { layer: Attention; x: tf.Tensor2D; context: tf.Tensor2D; rope?: RotaryTable; skipSelfAttention?: boolean }

/** The gradient of the operations of the backend, and the automatic gradients of x, of the context and of all factors. */
function gradients({ layer, x, context, rope, skipSelfAttention = false }: Case) {
  const ops = currentOperations()
  const dy = randomTensor('dy', [tokens, width])
  const forward = (ops: Operations, x: tf.Tensor, context: tf.Tensor) => {
    const keyValue = projectKeyValue(ops, layer, context, skipSelfAttention)
    return { keyValue, ...attention(ops, layer, x, keyValue, rope) }
  }
  const { y, saved, keyValue } = forward(ops, x, context)
  expectAllClose([y], [forward(differentiableOperations, x, context).y])

  const inputs = { dy, x, context, rope, keyValue, saved }
  const gradient = attentionGradient(ops, layer, { ...inputs, needsContextGradient: true })
  const layers = layersOf(layer)
  const [dx, dContext, ...factors] = autodiff([x, context, ...factorsOf(layers)], dy, (x, context, ...factors) =>
    withFactors(layers, factors, () => forward(differentiableOperations, x as tf.Tensor, context as tf.Tensor).y),
  ) as [tf.Tensor, tf.Tensor, ...tf.Tensor[]]
  return { inputs, gradient, dx, dContext, factors }
}

function expectSame(given: Case) {
  const { gradient, dx, dContext, factors } = gradients(given)
  expectAllClose([sum(gradient.dx), sum(gradient.dContext), ...gradient.factors], [dx, dContext, ...factors])
}

describe.each(backends)('the gradient of attention on %s', (backend) => {
  let [x, context, text] = [] as unknown as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D]
  let rope = {} as RotaryTable
  beforeAll(async () => {
    await startInFloat32(backend)
    x = randomTensor('x', [tokens, width])
    context = randomTensor('context', [tokens, width])
    text = randomTensor('text', [textTokens, contextWidth])
    const positions = Array.from({ length: tokens }, (_, i) => i / 30)
    rope = tokensLast(ropeTable(positions, { heads, headDim: width / heads, theta: 100 }))
  })

  it.each([
    ['with gates and LoRA', {}],
    ['without gates', { gate: false }],
    ['without LoRA', { rank: 0 }],
    ['without biases', { bias: false }],
  ])('with positions, %s, equals the automatic gradient', (_, options) =>
    expectSame({ layer: randomAttention({ heads, width, ...options }), x, context, rope }),
  )

  it.each([
    ['with gates and LoRA', {}],
    ['without gates', { gate: false }],
    ['without LoRA', { rank: 0 }],
  ])('to a text of another width, %s, equals the automatic gradient', (_, options) =>
    expectSame({ layer: randomAttention({ heads, width, contextWidth, ...options }), x, context: text }),
  )

  it('omits the gradient of the context on request', () => {
    const layer = randomAttention({ heads, width, contextWidth })
    const { gradient, inputs } = gradients({ layer, x, context: text })
    const without = attentionGradient(currentOperations(), layer, { ...inputs, needsContextGradient: false })
    expect(without.dContext).toEqual([])
    expectAllClose([sum(without.dx), ...without.factors], [sum(gradient.dx), ...gradient.factors])
  })

  it.each(['key', 'value'] as const)('contains the factors of a LoRA on only the %s layer', (name) => {
    const layer = randomAttention({ heads, width, contextWidth, rank: 0 })
    Object.assign(layer, { [name]: randomAttention({ heads, width, contextWidth })[name] })
    const { factors, inputs } = gradients({ layer, x, context: text })
    const gradient = attentionGradient(currentOperations(), layer, { ...inputs, needsContextGradient: false })
    expectAllClose(gradient.factors, factors)
  })

  it.each([
    ['with gates', {}],
    ['without gates', { gate: false }],
  ])('that is skipped, %s, equals the automatic gradient', (_, options) => {
    const layer = randomAttention({ heads, width, ...options })
    const { gradient, dx, dContext, factors } = gradients({ layer, x, context, rope, skipSelfAttention: true })
    expect(gradient.dx).toHaveLength(layer.gate ? 1 : 0)
    expectAllClose(gradient.dx, layer.gate ? [dx] : [])
    // keys and queries are not used
    expectAllClose([sum(gradient.dContext), ...gradient.factors], [dContext, ...factors], { zeros: 4 })
  })
})
