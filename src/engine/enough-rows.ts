/**
 * oneDNN has two kernels for float32 products. On x86 processors without AVX-512, the one for few rows runs at half the rate where sums run down the
 * columns of a large matrix, as in the gradient of a linear layer's input. Rows of zeros make it take the other.
 */
import * as tf from '@tensorflow/tfjs'
import { hasNarrowVectors } from './backend.ts'
import { dataTypeOf, isNative } from './native.ts'

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
