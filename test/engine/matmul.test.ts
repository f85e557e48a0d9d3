import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { paddedRows, padRowsForMatMul } from '../../src/engine/matmul.ts'
import { hasWideVectors } from '../../src/machine/hardware.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { hasNative } from './native.ts'

describe('the padded row count for the faster oneDNN kernel', () => {
  it('is the smallest one above the threshold of the kernel', () => {
    expect(paddedRows(252, 2048)).toBe(304)
    expect(paddedRows(252, 8192)).toBe(272)
  })

  it('is unchanged when the rows suffice, when no count would, and when it would be too large', () => {
    expect(paddedRows(304, 2048)).toBe(304)
    expect(paddedRows(1502, 8192)).toBe(1502)
    expect(paddedRows(252, 192)).toBe(252)
    expect(paddedRows(126, 2048)).toBe(126)
  })
})

for (const backend of hasNative ? (['tensorflow', 'wasm'] as const) : (['wasm'] as const))
  describe(`a matrix product with padded rows on ${backend}`, () => {
    beforeAll(async () => {
      await startBackend(backend)
    })

    const random = (name: string, rows: number, columns: number) =>
      tf.tensor2d(normals(randomFor(1, name), rows * columns), [rows, columns])

    it.each([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ] as const)(
      'equals the product without padding, with tokens along axis %i of the input and axis %i of the result',
      (axis, resultAxis) => {
        const [tokens, features, sums] = [200, 2048, 24]
        const x = axis === 0 ? random('x', tokens, sums) : random('x', sums, tokens)
        const weight = random('weight', sums, features)
        const rowCounts: number[] = []
        const multiply = (x: tf.Tensor2D) => {
          rowCounts.push(x.shape[axis])
          return resultAxis === 0
            ? tf.matMul<tf.Tensor2D>(x, weight, axis === 1, false)
            : tf.matMul<tf.Tensor2D>(weight, x, true, axis === 0)
        }
        const padded = padRowsForMatMul(x, { axis, features, resultAxis }, multiply)
        const plain = multiply(x)
        expect(padded.shape).toEqual(plain.shape)
        expect(tf.max(tf.abs(tf.sub(padded, plain))).dataSync()[0]).toBeLessThan(1e-4)
        expect(rowCounts).toEqual([backend === 'tensorflow' && !hasWideVectors() ? 304 : 200, 200])
      },
    )
  })
