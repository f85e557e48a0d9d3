/**
 * Matrix products with gradients. The one place that knows how fast which product is: the wasm backend multiplies plain pairs of matrices ten
 * times as fast as transposed or stacked ones, so there transposes are carried out and stacks taken apart first.
 */
import * as tf from '@tensorflow/tfjs'
import { currentBackend, hasNarrowVectors } from './backend.ts'
import { dataTypeOf, isNative } from './native.ts'

type Transposed = { transposeA?: boolean; transposeB?: boolean }

/** op(a) · op(b) for two matrices or two stacks of as many, op being the transpose where asked. Differentiable in both. */
export function product<T extends tf.Tensor2D | tf.Tensor3D>(
  a: T,
  b: T,
  { transposeA = false, transposeB = false } = {} as Transposed,
): T {
  const multiplied = tf.customGrad((...inputs) => {
    const [x, y, save] = inputs as unknown as [T, T, tf.GradSaveFunc]
    save([x, y])
    return {
      value: multiply(x, y, transposeA, transposeB),
      gradFunc: (dz, saved) => {
        const [x, y] = saved as [T, T]
        const dx = transposeA ? multiply(y, dz as T, transposeB, true) : multiply(dz as T, y, false, !transposeB)
        const dy = transposeB ? multiply(dz as T, x, true, transposeA) : multiply(x, dz as T, !transposeA, false)
        return [dx, dy]
      },
    }
  })
  return multiplied(a, b) as T
}

/** The product without a gradient. */
export function multiply<T extends tf.Tensor2D | tf.Tensor3D>(a: T, b: T, transposeA: boolean, transposeB: boolean): T {
  if (currentBackend() !== 'wasm') return tf.matMul(a, b, transposeA, transposeB) as T
  return tf.tidy(() => {
    const plainA = transposeA ? swapped(a) : a
    const plainB = transposeB ? swapped(b) : b
    if (plainA.rank === 2) return tf.matMul(plainA, plainB) as T
    const stackB = tf.unstack(plainB)
    return tf.stack(tf.unstack(plainA).map((matrix, i) => tf.matMul(matrix, stackB[i] as tf.Tensor))) as T
  })
}

const swapped = <T extends tf.Tensor>(x: T) => tf.transpose(x, x.rank === 2 ? [1, 0] : [0, 2, 1]) as T

/**
 * oneDNN has two kernels for float32 products. On x86 processors without AVX-512, the one for few rows runs at half the rate where sums run down the
 * columns of a large matrix, as in the gradient of a linear layer's input. Rows of zeros make it take the other.
 */

/**
 * A product with a large weight whose sums run down the weight's columns.
 * @param x float32; `axis` is that of its tokens. @param features how many each token has in the result.
 * @param multiply gives the result with its tokens along `resultAxis`.
 */
export function withEnoughRows(
  x: tf.Tensor2D,
  { axis, features, resultAxis }: { axis: 0 | 1; features: number; resultAxis: 0 | 1 },
  multiply: (x: tf.Tensor2D) => tf.Tensor2D,
): tf.Tensor2D {
  const tokens = x.shape[axis]
  const enough = wantsRows(x) ? enoughRows(tokens, features) : tokens
  if (enough === tokens) return multiply(x)
  const more: [number, number] = [0, enough - tokens]
  const filled = tf.pad2d(x, axis === 0 ? [more, [0, 0]] : [[0, 0], more])
  return tf.slice2d(multiply(filled), [0, 0], resultAxis === 0 ? [tokens, features] : [features, tokens])
}

/** oneDNN takes the kernel for few rows where 1 / rows + 1 / columns is at least this (its `nocopy_checker_avx2`). */
const fewRows = 0.0038

/** As many rows as there are, or the fewest beyond the threshold, in whole vectors. */
export function enoughRows(rows: number, columns: number): number {
  if (1 / columns >= fewRows) return rows
  const enough = 8 * Math.ceil(1 / (fewRows - 1 / columns) / 8)
  return rows < enough && enough <= maxGrowth * rows ? enough : rows
}

/** The rate doubles, and filling and cutting cost something. */
const maxGrowth = 1.8

const wantsRows = (x: tf.Tensor2D) => isNative() && hasNarrowVectors() && dataTypeOf(x) === 'float32'
