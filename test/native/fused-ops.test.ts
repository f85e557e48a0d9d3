/** The fused ops of the addon, in bfloat16, compared with the same operations in float32 on the same numbers. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { portableOperations } from '../../src/engine/composed-operations.ts'
import { currentOperations } from '../../src/engine/current-operations.ts'
import { fusedBfloat16Operations, fusedOperations } from '../../src/engine/fused-operations.ts'
import { fusedOps, nativeDtypeOf } from '../../src/engine/native.ts'
import { toComputeDtype, toFloat32 } from '../../src/engine/native-ops.ts'
import type { Operations } from '../../src/engine/operations.ts'
import { hasBfloat16, hasFusedOps } from '../engine/native.ts'
import { relativeError } from '../golden/golden.ts'
import { randomTensor } from '../model/gradients/layers.ts'
import { needs } from '../needs.ts'

const start = (precision: 'bfloat16' | 'float32') => startBackend('tensorflow', { precision })
const addon = needs('a processor, and an addon with fused ops')

/** A random matrix in bfloat16, and the same numbers in float32. */
function matrix(name: string, shape: number[], scale = 1) {
  const rounded = toComputeDtype(randomTensor(name, shape, scale))
  return { rounded, exact: toFloat32(rounded) }
}

/** Rounding to bfloat16 changes a number by at most 2⁻⁹ of it. */
const roundingError = 2 ** -8

function expectClose(actual: tf.Tensor, expected: tf.Tensor, tolerance = roundingError) {
  expect(actual.shape).toEqual(expected.shape)
  expect(relativeError(toFloat32(actual).dataSync(), expected.dataSync()).max).toBeLessThan(tolerance)
}

const sizes = [
  { name: 'a single row', rows: 1, inner: 40, columns: 33 },
  { name: 'sizes that fill no tile', rows: 37, inner: 71, columns: 45 },
  { name: 'more columns than rows', rows: 32, inner: 300, columns: 700 },
  { name: 'more rows than columns', rows: 700, inner: 513, columns: 5 },
]

describe.skipIf(!hasFusedOps || !hasBfloat16)('fused bfloat16 operations', addon, () => {
  let ops = {} as Operations
  beforeAll(async () => {
    await start('bfloat16')
    ops = currentOperations()
  })

  it('are used', () => {
    const { bfloat16Products } = fusedOps()
    expect(ops).toBe(bfloat16Products ? fusedBfloat16Operations : fusedOperations)
    const limit = process.env.LTX_A2A_INSTRUCTIONS
    if (limit) expect(bfloat16Products).toBe(limit === 'avx512_bf16')
  })

  describe.each(sizes)('a linear layer with $name', ({ rows, inner, columns }) => {
    it.each([
      ['tokens', 'tokens'],
      ['tokens', 'features'],
      ['features', 'tokens'],
      ['features', 'features'],
    ] as const)('from %s to %s: result and gradients', (from, to) => {
      const weight = matrix('weight', [columns, inner], 1 / Math.sqrt(inner))
      const factors = {
        a: randomTensor<tf.Rank.R2>('a', [3, inner], 0.1),
        b: randomTensor<tf.Rank.R2>('b', [columns, 3]),
      }
      const bias = randomTensor<tf.Rank.R1>('bias', [columns])
      const layer = (ops: Operations, stored: tf.Tensor) => {
        const round = (x: tf.Tensor) => (ops === portableOperations ? toFloat32(toComputeDtype(x)) : x) as tf.Tensor2D
        const lora = { a: round(factors.a), b: round(factors.b), scale: 0.5 }
        return { weight: { stored: stored as tf.Tensor2D, shape: [columns, inner] } as never, bias, lora }
      }
      const x = matrix('x', from === 'tokens' ? [rows, inner] : [inner, rows])
      const dy = matrix('dy', to === 'tokens' ? [rows, columns] : [columns, rows])
      const results = (ops: Operations, kind: 'rounded' | 'exact') => {
        const linear = layer(ops, weight[kind])
        const { y, saved } = ops.linear(linear, x[kind], { from, to })
        const inputs = { x: x[kind], dy: dy[kind], saved, from, to, needsInputGradient: true }
        const { dx, factors } = ops.linearGradient(linear, inputs)
        return [y, dx as tf.Tensor, ...factors]
      }
      const expected = results(portableOperations, 'exact')
      const actual = results(ops, 'rounded')
      // the product with loraA is rounded before it is multiplied with loraB
      for (const [i, tensor] of actual.entries()) expectClose(tensor, expected[i] as tf.Tensor, 3 * roundingError)
      for (const gradient of actual.slice(2)) expect(nativeDtypeOf(gradient)).toBe('float32')
    })
  })

  it.each([
    [3, 8, 20, 37],
    [2, 64, 252, 70],
    [1, 40, 300, 520],
  ])('attention with %i heads of %i: result and gradients', (heads, headDim, tokens, textTokens) => {
    const query = matrix('query', [heads, headDim, tokens], 1 / Math.sqrt(headDim))
    const key = matrix('key', [heads, headDim, textTokens])
    const value = matrix('value', [heads, headDim, textTokens])
    const dy = matrix('dy', [heads, headDim, tokens])
    const results = (ops: Operations, kind: 'rounded' | 'exact') => {
      const inputs = { query: query[kind], key: key[kind], value: value[kind] }
      const { y, saved } = ops.attention(inputs)
      const sums = tf.sum(tf.mul(toFloat32(y), dy.exact), 1, true)
      const needs = { key: true, value: true }
      const gradients = ops.attentionGradient({ ...inputs, dy: dy[kind], saved, sums, needs })
      return [y, gradients.query, gradients.key as tf.Tensor, gradients.value as tf.Tensor]
    }
    const expected = results(portableOperations, 'exact')
    for (const [i, tensor] of results(ops, 'rounded').entries())
      expectClose(tensor, expected[i] as tf.Tensor, 4 * roundingError)
  })

  it('a sum over nothing is zero', () => {
    const weight = { stored: matrix('weight', [40, 50]).rounded as tf.Tensor2D, shape: [40, 50] as [number, number] }
    const lora = { a: randomTensor<tf.Rank.R2>('a', [3, 50]), b: randomTensor<tf.Rank.R2>('b', [40, 3]), scale: 1 }
    const none = (width: number) => toComputeDtype(tf.zeros([0, width]))
    const layout = { from: 'tokens', to: 'tokens' } as const
    const saved = { down: none(3) }
    const inputs = { x: none(50), dy: none(40), saved, ...layout, needsInputGradient: false }
    for (const gradient of ops.linearGradient({ weight, lora }, inputs).factors)
      expect(gradient.dataSync().every((value) => value === 0)).toBe(true)

    const [key, value] = [matrix('key', [2, 8, 40]).rounded, matrix('value', [2, 8, 40]).rounded]
    const query = toComputeDtype(tf.zeros([2, 8, 0]))
    const { y, saved: savedScores } = ops.attention({ query, key, value })
    expect(y.shape).toEqual([2, 8, 0])
    const backward = { query, key, value, dy: query, saved: savedScores, sums: tf.zeros([2, 1, 0]) }
    const gradients = ops.attentionGradient({ ...backward, needs: { key: true, value: true } })
    for (const gradient of [gradients.key, gradients.value] as tf.Tensor[])
      expect(
        toFloat32(gradient)
          .dataSync()
          .every((value) => value === 0),
      ).toBe(true)
  })

  it('results have the same bytes with any number of threads', () => {
    const program = fileURLToPath(new URL('fused-ops-digest.ts', import.meta.url))
    const digest = (threads: string) =>
      execFileSync(process.execPath, ['--import', 'tsx', program], {
        env: { ...process.env, TF_NUM_INTRAOP_THREADS: threads },
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      })
    expect(digest('1')).toMatch(/^[0-9a-f]{64}\n$/)
    expect(digest('3')).toBe(digest('1'))
  })

  it('gates of heads, and their gradients', () => {
    const [y, dy] = [matrix('y', [3, 8, 20]), matrix('dy', [24, 20])]
    const logits = matrix('logits', [3, 20])
    const results = (ops: Operations, kind: 'rounded' | 'exact') => {
      const gates =
        kind === 'rounded'
          ? ops.headGates(logits.rounded as tf.Tensor2D)
          : toFloat32(ops.headGates(logits.exact as tf.Tensor2D))
      const { dHeads, dLogits, sums } = ops.gateHeadsGradient(dy[kind], y[kind], gates)
      return [ops.gateHeads(y[kind], gates), dHeads, dLogits as tf.Tensor, sums]
    }
    const expected = results(portableOperations, 'exact')
    for (const [i, tensor] of results(ops, 'rounded').entries())
      expectClose(tensor, expected[i] as tf.Tensor, 3 * roundingError)
  })
})

describe.skipIf(!hasFusedOps)('fused operations', addon, () => {
  const precisions = hasBfloat16 ? (['float32', 'bfloat16'] as const) : (['float32'] as const)

  describe.each(precisions)('in %s', (precision) => {
    let ops = {} as Operations
    beforeAll(async () => {
      await start(precision)
      ops = currentOperations()
    })
    const tolerance = precision === 'float32' ? 2e-6 : roundingError
    const values = [0, -0, 1e-30, -1e-30, 0.5, -0.5, 3, -3, 12, -12, 60, -60, 1e4, -1e4, 1e30, -1e30]

    it('GELU and its derivative are right for every size of number', () => {
      const x = toFloat32(toComputeDtype(tf.tensor1d(values)))
      const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
      const expected = Array.from(x.dataSync(), gelu)
      const actual = toFloat32(ops.gelu(toComputeDtype(x))).dataSync()
      for (const [i, value] of expected.entries())
        expect(Math.abs((actual[i] as number) - value)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(value)))
      const derivative = toFloat32(ops.geluGradient(toComputeDtype(tf.onesLike(x)), toComputeDtype(x))).dataSync()
      for (const [i, value] of values.entries())
        if (Math.abs(value) > 10) expect(derivative[i]).toBeCloseTo(value > 0 ? 1 : 0, 6)
    })

    it('what is not a number stays so', () => {
      const x = toComputeDtype(tf.tensor2d([[1, Number.NaN, 2, 3]]))
      expect([...toFloat32(ops.gelu(x)).dataSync()].map(Number.isNaN)).toEqual([false, true, false, false])
      const [query, key] = [tf.tensor3d([[[1, 1]]]), tf.tensor3d([[[1, Number.NaN]]])].map(toComputeDtype)
      const inputs = { query: query as tf.Tensor, key: key as tf.Tensor, value: toComputeDtype(tf.ones([1, 1, 2])) }
      expect([...toFloat32(ops.attention(inputs).y).dataSync()]).toEqual([Number.NaN, Number.NaN])
    })

    it('a score of −∞ has the probability 0', () => {
      const key = toComputeDtype(tf.tensor3d([[[1, Number.NEGATIVE_INFINITY]]]))
      const value = toComputeDtype(tf.tensor3d([[[2, 1e38]]]))
      const { y } = ops.attention({ query: toComputeDtype(tf.ones([1, 1, 1])), key, value })
      expect([...toFloat32(y).dataSync()]).toEqual([2])
    })

    it('attention to very different scores takes the value of the highest', () => {
      const key = toComputeDtype(tf.tensor3d([[[-300, 0, 500, 499]]]))
      const value = toComputeDtype(tf.tensor3d([[[1, 2, 4, 8]]]))
      const query = toComputeDtype(tf.tensor3d([[[1, -1, 200]]]))
      const rows = toFloat32(ops.attention({ query, key, value }).y).dataSync()
      const mixed = (4 + 8 * Math.exp(-1)) / (1 + Math.exp(-1)) // bfloat16 stores 499 as 500
      expect(rows[0]).toBeCloseTo(precision === 'float32' ? mixed : 6, 1)
      expect(rows[1]).toBe(1)
      expect(rows[2]).toBeCloseTo(precision === 'float32' ? 4 : 6, 5)
    })

    it('an unexpected shape is an error, not a crash', () => {
      const [x, y] = [toComputeDtype(tf.ones([4, 4])), toComputeDtype(tf.ones([4, 5]))]
      expect(() => ops.geluGradient(x, y)).toThrow('an input has an unexpected shape')
      expect(() => ops.addGated(tf.ones([3, 4]), ops.rowsOfLevels(tf.ones([2, 4]), ops.levels([0, 1])), x)).toThrow()
      const levels = tf.tensor1d([0, 2, 0, 0], 'int32')
      const gate = ops.rowsOfLevels(tf.ones([2, 4]), levels)
      expect(() => ops.gatedGradient(tf.ones([4, 4]), gate)).toThrow('a noise level is out of range')
    })
  })
})
