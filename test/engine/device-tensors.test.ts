import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { castInPlace, frozenMatrix } from '../../src/engine/device-tensors.ts'
import { matMulFrozen } from '../../src/engine/matmul.ts'
import { nativeDtypeOf } from '../../src/engine/native.ts'
import { toFloat32 } from '../../src/engine/native-ops.ts'
import type { Precision } from '../../src/engine/precision.ts'
import { toFloat32 as decode, float32Bytes, toBfloat16 } from '../../src/formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../../src/formats/safetensors.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { needsNative } from '../needs.ts'
import { hasNative } from './native.ts'

const [outputs, inputs] = [6, 40]
const values = Float32Array.from(normals(randomFor(1, 'weight'), outputs * inputs))
const bfloat16: StoredTensor = { dtype: 'BF16', shape: [outputs, inputs], bytes: toBfloat16(values) }
const float32: StoredTensor = { dtype: 'F32', shape: [outputs, inputs], bytes: float32Bytes(values) }
const half: StoredTensor = { dtype: 'F16', shape: [2, 2], bytes: Uint8Array.of(0, 0x3c, 0, 0xc0, 0, 0x38, 0, 0x34) }

describe.skipIf(!hasNative)('a frozen weight on native TensorFlow', needsNative, () => {
  const formats: [string, StoredTensor, Precision, string][] = [
    ['in bfloat16 stays bfloat16 when products are float32', bfloat16, 'float32', 'bfloat16'],
    ['in half stays half when products are float32', half, 'float32', 'half'],
    ['in float32 stays float32 when products are float32', float32, 'float32', 'float32'],
    ['in float32 becomes bfloat16 when products are bfloat16', float32, 'bfloat16', 'bfloat16'],
    ['in half becomes bfloat16 when products are bfloat16', half, 'bfloat16', 'bfloat16'],
  ]
  it.each(formats)('%s', async (_, stored, precision, expected) => {
    await startBackend('tensorflow', { precision })
    const matrix = frozenMatrix(stored)
    const weight = matrix.stored as tf.Tensor
    expect(nativeDtypeOf(weight)).toBe(expected)
    const decoded = decode(stored.bytes, stored.dtype)
    const rounded = expected === 'bfloat16' ? decode(toBfloat16(decoded), 'BF16') : decoded
    expect(tf.tidy(() => [...toFloat32(weight).dataSync()])).toEqual([...rounded])
    matrix.stored.dispose()
  })

  it('keeps its values when the next tensor is read into the same buffer', async () => {
    await startBackend('tensorflow', { precision: 'bfloat16' })
    const path = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-device-')), 'weights.safetensors')
    // small and large: TensorFlow allocates them differently
    for (const columns of [1, 8, 4096]) {
      const filledWith = (value: number): StoredTensor => {
        const bytes = toBfloat16(new Float32Array(256 * columns).fill(value))
        return { dtype: 'BF16', shape: [256, columns], bytes }
      }
      writeSafetensors(path, new Map([1, 2, 3].map((value) => [`weight ${value}`, filledWith(value)])))
      const file = openSafetensors(path)
      const matrices = [1, 2, 3].map((value) => frozenMatrix(file.readPooled(`weight ${value}`)))
      file.close()
      const means = matrices.map(({ stored }) => tf.tidy(() => tf.mean(toFloat32(stored as tf.Tensor)).dataSync()[0]))
      expect(means).toEqual([1, 2, 3])
      for (const matrix of matrices) matrix.stored.dispose()
    }
  })

  it('is cast in place to the precision of products, without a new tensor if it already has that precision', async () => {
    for (const precision of ['float32', 'bfloat16'] as const) {
      await startBackend('tensorflow', { precision })
      const before = tf.memory().numTensors
      const matrix = frozenMatrix(bfloat16)
      const uploaded = matrix.stored
      castInPlace(matrix)
      expect(nativeDtypeOf(matrix.stored as tf.Tensor)).toBe(precision)
      expect(matrix.stored === uploaded).toBe(precision === 'bfloat16')
      castInPlace(matrix)
      matrix.stored.dispose()
      expect(tf.memory().numTensors).toBe(before)
    }
  })

  it('in bfloat16 is multiplied exactly in float32, forward and backward', async () => {
    await startBackend('tensorflow', { precision: 'float32' })
    const matrix = frozenMatrix(bfloat16)
    const weight = tf.tensor2d(decode(bfloat16.bytes, 'BF16'), [outputs, inputs])
    const x = tf.tensor2d(Float32Array.from(normals(randomFor(1, 'x'), 3 * inputs)), [3, inputs])
    const products = [
      (x: tf.Tensor) => matMulFrozen(x as tf.Tensor2D, matrix),
      (x: tf.Tensor) => tf.matMul(x, weight, false, true),
    ]
    const [actual, expected] = products.map((product) => {
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => tf.sum(tf.square(product(x))))(x)
      return [...value.dataSync(), ...grad.dataSync()]
    }) as [number[], number[]]
    for (const [i, number] of actual.entries()) expect(number).toBeCloseTo(expected[i] as number, 3)
    matrix.stored.dispose()
  })
})
