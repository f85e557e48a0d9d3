/** Products with packed weights against plain JavaScript. */
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { frozenMatrix } from '../../src/engine/device-tensors.ts'
import { matMulFrozen, plainMatMul } from '../../src/engine/matmul.ts'
import { isPackable, isPacked } from '../../src/engine/webgpu/packed-weights.ts'
import type { StoredTensor } from '../../src/formats/safetensors.ts'
import { normals, randomFor } from '../../src/platform/random.ts'

beforeAll(() => startBackend('webgpu'))

/** Normal numbers that bfloat16 holds exactly, and their bytes. */
function bfloat16(name: string, rows: number, columns: number): { values: Float32Array; stored: StoredTensor } {
  const halves = new Uint16Array(
    new Uint32Array(normals(randomFor(1, name), rows * columns).buffer).map((bits) => bits >>> 16),
  )
  const values = new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer)
  return { values, stored: { dtype: 'BF16', shape: [rows, columns], bytes: new Uint8Array(halves.buffer) } }
}

/** a · b in double precision: `[m, k], [k, n] → [m, n]`, where a and b give their elements. */
function product(
  m: number,
  k: number,
  n: number,
  a: (i: number, j: number) => number,
  b: (i: number, j: number) => number,
) {
  const result = new Float32Array(m * n)
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0
      for (let t = 0; t < k; t++) sum += a(i, t) * b(t, j)
      result[i * n + j] = sum
    }
  return result
}

function expectClose(actual: Float32Array, expected: Float32Array, terms: number) {
  expect(actual.length).toBe(expected.length)
  const worst = actual.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (expected[i] as number))), 0)
  expect(worst).toBeLessThan(2e-6 * (10 + Math.sqrt(terms))) // NaN fails, too
}

/** Both sides of the tile's size, and of its depth. */
const sizes = [1, 2, 3, 15, 16, 17, 63, 64, 65, 130]
const even = sizes.map((size) => 2 * Math.ceil(size / 2))
const shapes = Array.from({ length: 40 }, (_, i) => {
  const random = randomFor(i, 'shapes')
  const pick = (list: readonly number[]) => list[Math.floor(random.uniform() * list.length)] as number
  return { tokens: pick(sizes), rows: pick(sizes), columns: pick(even) }
})

describe.each([
  [false, false],
  [false, true],
  [true, false],
  [true, true],
])('x transposed: %j, weight transposed: %j', (transposeX, transposeWeight) => {
  it('is the product, with the weight on either side', async () => {
    for (const { tokens, rows, columns } of shapes) {
      const name = `${tokens} ${rows} ${columns}`
      const { values, stored } = bfloat16(name, rows, columns)
      const weight = frozenMatrix(stored)
      expect(isPacked(weight.stored)).toBe(true)
      const [terms, outputs] = transposeWeight ? [columns, rows] : [rows, columns]
      const shape: [number, number] = transposeX ? [terms, tokens] : [tokens, terms]
      const data = normals(randomFor(2, name), tokens * terms)
      const x = tf.tensor2d(data, shape)
      const xAt = (token: number, term: number) =>
        data[transposeX ? term * tokens + token : token * terms + term] as number
      const weightAt = (term: number, output: number) =>
        values[transposeWeight ? output * columns + term : term * columns + output] as number
      const onTheRight = plainMatMul(x, weight.stored, { transposeA: transposeX, transposeB: transposeWeight })
      const onTheLeft = plainMatMul(weight.stored, x, { transposeA: !transposeWeight, transposeB: !transposeX })
      expectClose(await onTheRight.data<'float32'>(), product(tokens, terms, outputs, xAt, weightAt), terms)
      const transposed = product(
        outputs,
        terms,
        tokens,
        (i, j) => weightAt(j, i),
        (i, j) => xAt(j, i),
      )
      expectClose(await onTheLeft.data<'float32'>(), transposed, terms)
      tf.dispose([x, weight.stored, onTheRight, onTheLeft])
    }
  })
})

it('has a gradient', async () => {
  const { values, stored } = bfloat16('gradient', 5, 6)
  const weight = frozenMatrix(stored)
  const [gradient] = tf.grads((x) => matMulFrozen(x as tf.Tensor2D, weight).sum())([tf.ones([3, 6])])
  const sums = Float32Array.from({ length: 6 }, (_, i) =>
    [0, 1, 2, 3, 4].reduce((sum, row) => sum + (values[row * 6 + i] as number), 0),
  )
  expectClose(
    (await (gradient as tf.Tensor).data<'float32'>()) as Float32Array,
    Float32Array.from([...sums, ...sums, ...sums]),
    5,
  )
})

it('leaves what cannot be packed in float32', () => {
  expect(isPackable({ dtype: 'BF16', shape: [4, 3] })).toBe(false)
  expect(isPackable({ dtype: 'F32', shape: [4, 4] })).toBe(false)
  const odd = frozenMatrix(bfloat16('odd', 4, 3).stored)
  expect(odd.stored.dtype).toBe('float32')
})

it('refuses sizes that do not fit', () => {
  const weight = frozenMatrix(bfloat16('sizes', 4, 6).stored)
  expect(() => plainMatMul(tf.ones<tf.Rank.R2>([2, 5]), weight.stored, { transposeB: true })).toThrow(
    '5 features with a weight of 6',
  )
})
