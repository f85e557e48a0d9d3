/** Whether products of a number format come out as they should: all sums exact, and rounded to the nearest number that the format has. */
import * as tf from '@tensorflow/tfjs'
import { toBfloat16, toFloat32 } from '../formats/dtypes.ts'
import { hasNarrowVectors } from './backend.ts'
import { castTo, flag, isNative, runOp, typeAttribute } from './native.ts'

export type ProductType = 'float32' | 'bfloat16' | 'half'

/** Whether TensorFlow has no kernels of its own for it on this processor: it would be slow, and digits cut off. */
export const isForeign = (type: ProductType): boolean => type === 'bfloat16' && hasNarrowVectors()

/** False too where there is no such product at all: old GPU builds lack bfloat16. */
export function isExact(type: ProductType): boolean {
  if (type !== 'float32' && !isNative()) return false
  try {
    return hasExactSums(type) && roundsToNearest(type)
  } catch {
    return false
  }
}

/** Of small whole numbers: bfloat16 counts to 256. */
export function hasExactSums(type: ProductType): boolean {
  const rows = Array.from({ length: 32 }, (_, i) => Array.from({ length: 32 }, (_, k) => ((3 * i + 4 * k) % 5) - 2))
  const expected = rows.flatMap((a) => rows.map((b) => a.reduce((sum, x, k) => sum + x * (b[k] ?? 0), 0)))
  return agree(timesTransposed(rows, rows, type), expected)
}

/** Counts of ones from 513 on, of which bfloat16 has every fourth. */
export function roundsToNearest(type: ProductType): boolean {
  const counts = Array.from({ length: 32 }, (_, i) => 513 + 5 * i)
  const ones = (count: number) => Array.from({ length: 1024 }, (_, k) => (k < count ? 1 : 0))
  const sums = Float32Array.from(counts)
  const expected = type === 'bfloat16' ? toFloat32(toBfloat16(sums), 'BF16') : sums
  return agree(timesTransposed([ones(1024)], counts.map(ones), type), expected)
}

const agree = (found: ArrayLike<number>, expected: ArrayLike<number>) =>
  Array.from(expected).every((sum, i) => sum === found[i])

const timesTransposed = (a: number[][], b: number[][], type: ProductType) =>
  tf.tidy(() => {
    const [x, y] = [a, b].map((rows) => fromFloat32(tf.tensor2d(rows), type)) as [tf.Tensor2D, tf.Tensor2D]
    return asFloat32(multiply(x, y, type, true), type).dataSync()
  })

export const multiply = (x: tf.Tensor, y: tf.Tensor, type: ProductType, transposeB = false): tf.Tensor =>
  type === 'float32'
    ? tf.matMul(x, y, false, transposeB)
    : runOp('MatMul', [x, y], [typeAttribute('T', type), flag('transpose_a', false), flag('transpose_b', transposeB)])

export const fromFloat32 = (x: tf.Tensor, type: ProductType) => (type === 'float32' ? x : castTo(type, x))

export const asFloat32 = (x: tf.Tensor, type: ProductType) => (type === 'float32' ? x : castTo('float32', x))

/** What matrix products are worth on the backend that is computing: whether they are right, and how fast they are. */

export type ProductProbe =
  | { works: true; gigaflops: number; roundsToNearest: boolean }
  | { works: false; reason: string }

/** Multiplies small matrices and looks at the result, then larger and larger ones and takes the time. */
export function probeProduct(type: ProductType): ProductProbe {
  if (type !== 'float32' && !isNative()) return { works: false, reason: 'only native TensorFlow has it' }
  if (isForeign(type)) return { works: false, reason: 'foreign to this processor' }
  try {
    if (!hasExactSums(type)) return { works: false, reason: 'its results are wrong' }
    return { works: true, gigaflops: rate(type), roundsToNearest: roundsToNearest(type) }
  } catch (error) {
    return { works: false, reason: String((error as Error).message).split('\n', 1)[0] as string }
  }
}

const [smallest, largest, longEnough] = [128, 8192, 20]

/** In units of 1e9 operations a second, at the first size whose product takes long enough to be timed. */
function rate(type: ProductType): number {
  for (let size = smallest; ; size *= 2) {
    const milliseconds = timeOfProduct(size, type)
    if (milliseconds >= longEnough || size >= largest) return (2 * size ** 3) / milliseconds / 1e6
  }
}

const products = 4

const timeOfProduct = (size: number, type: ProductType): number =>
  tf.tidy(() => {
    const matrix = fromFloat32(tf.randomUniform([size, size], -1, 1), type)
    finish(square(matrix, type), type)
    const begun = performance.now()
    for (let i = 1; i < products; i++) square(matrix, type).dispose()
    finish(square(matrix, type), type)
    return (performance.now() - begun) / products
  })

/** A GPU answers before it has computed: only a number that is read is there. */
const finish = (x: tf.Tensor, type: ProductType) => tf.tidy(() => tf.sum(asFloat32(x, type)).dataSync())

const square = (x: tf.Tensor, type: ProductType): tf.Tensor => multiply(x, x, type)
