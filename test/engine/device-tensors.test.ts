import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { dispose, freeze, ready, timesFrozen } from '../../src/engine/device-tensors.ts'
import { dataTypeOf } from '../../src/engine/native.ts'
import { wide } from '../../src/engine/ops.ts'
import { choosePrecision, type Precision } from '../../src/engine/precision.ts'
import { float32Bytes, toBfloat16, toFloat32 } from '../../src/formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { hasNative } from './native.ts'

const [outputs, inputs] = [6, 40]
const values = Float32Array.from(normals(randomFor(1, 'weight'), outputs * inputs))
const bfloat16: StoredTensor = { dtype: 'BF16', shape: [outputs, inputs], bytes: toBfloat16(values) }
const float32: StoredTensor = { dtype: 'F32', shape: [outputs, inputs], bytes: float32Bytes(values) }
const half: StoredTensor = { dtype: 'F16', shape: [2, 2], bytes: Uint8Array.of(0, 0x3c, 0, 0xc0, 0, 0x38, 0, 0x34) }

describe.skipIf(!hasNative)('a frozen weight on native TensorFlow', () => {
  beforeAll(async () => {
    await startBackend('tensorflow')
  })
  afterAll(() => choosePrecision(undefined))

  const held: [string, StoredTensor, Precision, string][] = [
    ['narrow weights stay narrow where products are float32', bfloat16, 'float32', 'bfloat16'],
    ['those of half precision too', half, 'float32', 'half'],
    ['float32 weights stay exact where products are float32', float32, 'float32', 'float32'],
    ['all weights have the precision of products where that is narrow', float32, 'bfloat16', 'bfloat16'],
    ['whatever they were stored as', half, 'bfloat16', 'bfloat16'],
  ]
  it.each(held)('%s', (_, stored, precision, expected) => {
    choosePrecision(precision)
    const matrix = freeze(stored)
    expect(dataTypeOf(matrix.stored as tf.Tensor)).toBe(expected)
    dispose(matrix)
  })

  it('is not what the file lends to the next', () => {
    choosePrecision('bfloat16')
    const path = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-resident-')), 'two.safetensors')
    // of the largest sizes and the smallest, since memory comes from different places
    for (const columns of [1, 8, 4096]) {
      const filledWith = (value: number): StoredTensor => {
        const bytes = toBfloat16(new Float32Array(256 * columns).fill(value))
        return { dtype: 'BF16', shape: [256, columns], bytes }
      }
      writeSafetensors(path, new Map([1, 2, 3].map((value) => [`weight ${value}`, filledWith(value)])))
      const file = openSafetensors(path)
      const matrices = [1, 2, 3].map((value) => freeze(file.lend(`weight ${value}`)))
      file.close()
      const sums = matrices.map(({ stored }) => tf.tidy(() => tf.mean(wide(stored as tf.Tensor)).dataSync()[0]))
      expect(sums).toEqual([1, 2, 3])
      for (const matrix of matrices) dispose(matrix)
    }
  })

  it('is widened once where that is asked for, and left alone where it has the precision of products', () => {
    const before = tf.memory().numTensors
    for (const [precision, expected] of [
      ['float32', 'float32'],
      ['bfloat16', 'bfloat16'],
    ] as const) {
      choosePrecision(precision)
      const matrix = freeze(bfloat16)
      const held = matrix.stored
      ready(matrix)
      expect(dataTypeOf(matrix.stored as tf.Tensor)).toBe(expected)
      expect(matrix.stored === held).toBe(precision === 'bfloat16')
      ready(matrix)
      dispose(matrix)
    }
    expect(tf.memory().numTensors).toBe(before)
  })

  it('multiplies in float32 with the exact values of narrow weights, forward and back', () => {
    choosePrecision('float32')
    const matrix = freeze(bfloat16)
    const weight = tf.tensor2d(toFloat32(bfloat16.bytes, 'BF16'), [outputs, inputs])
    const x = tf.tensor2d(Float32Array.from(normals(randomFor(1, 'x'), 3 * inputs)), [3, inputs])
    const both = [
      (x: tf.Tensor) => timesFrozen(x as tf.Tensor2D, matrix),
      (x: tf.Tensor) => tf.matMul(x, weight, false, true),
    ]
    const [ours, theirs] = both.map((times) => {
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => tf.sum(tf.square(times(x))))(x)
      return [...value.dataSync(), ...grad.dataSync()]
    }) as [number[], number[]]
    for (const [i, number] of ours.entries()) expect(number).toBeCloseTo(theirs[i] as number, 3)
    dispose(matrix)
  })
})
