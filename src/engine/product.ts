/**
 * Matrix products with gradients. The one place that knows how fast which product is: the wasm backend multiplies plain pairs of matrices ten
 * times as fast as transposed or stacked ones, so there transposes are carried out and stacks taken apart first.
 */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from './backend.ts'

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
