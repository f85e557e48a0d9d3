/** Matrix products with gradients, each computed in the way that is fastest on the backend. */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from './backend.ts'
import { type FrozenMatrix, isTrainable } from './device-tensors.ts'
import { isNative, lacksAvx512, nativeDtypeOf } from './native.ts'
import { matMul as nativeMatMul, toComputeDtype, toFloat32 } from './native-ops.ts'
import { customGradient } from './tensor-tree.ts'
import { type MatMulOptions, wasmMatMul } from './wasm-matmul.ts'
import { isPacked, packedProduct } from './webgpu/packed-weights.ts'

/** The product of two matrices, or of two stacks of as many, each transposed if asked for. Differentiable in both. */
export function matMul<T extends tf.Tensor2D | tf.Tensor3D>(
  a: T,
  b: T,
  { transposeA = false, transposeB = false }: MatMulOptions = {},
): T {
  const multiply = tf.customGrad((...args) => {
    const [x, y, save] = args as unknown as [T, T, tf.GradSaveFunc]
    save([x, y])
    return {
      value: plainMatMul(x, y, { transposeA, transposeB }),
      gradFunc: (dz, saved) => {
        const [x, y] = saved as [T, T]
        const dx = transposeA
          ? plainMatMul(y, dz as T, { transposeA: transposeB, transposeB: true })
          : plainMatMul(dz as T, y, { transposeB: !transposeB })
        const dy = transposeB
          ? plainMatMul(dz as T, x, { transposeA: true, transposeB: transposeA })
          : plainMatMul(x, dz as T, { transposeA: !transposeA })
        return [dx, dy]
      },
    }
  })
  return multiply(a, b) as T
}

/** x · Wᵀ for a frozen weight W, `[n, in] → [n, out]`. Differentiable in x, and in W where it is trained. */
export function matMulFrozen(x: tf.Tensor2D, weight: FrozenMatrix): tf.Tensor2D {
  if (isTrainable(weight)) return matMul(x, weight.stored, { transposeB: true })
  if (isNative()) return nativeMatMulFrozen(x, weight.stored)
  const multiply = tf.customGrad((input) => ({
    value: plainMatMul(input as tf.Tensor2D, weight.stored, { transposeB: true }),
    gradFunc: (dy) => plainMatMul(dy as tf.Tensor2D, weight.stored),
  }))
  return multiply(x) as tf.Tensor2D
}

/** In the precision of matrix products. */
function nativeMatMulFrozen(x: tf.Tensor2D, weight: tf.Tensor2D): tf.Tensor2D {
  return customGradient(
    [x],
    () => ({
      value: toFloat32(nativeMatMul(toComputeDtype(x), toComputeDtype(weight), { transposeB: true })),
      saved: {},
    }),
    (dy) => [toFloat32(nativeMatMul(toComputeDtype(dy), toComputeDtype(weight)))],
  ) as tf.Tensor2D
}

/** The same without a gradient. */
export function plainMatMul<T extends tf.Tensor2D | tf.Tensor3D>(a: T, b: T, options: MatMulOptions = {}): T {
  if (currentBackend() === 'wasm') return wasmMatMul(a, b, options)
  if (isPacked(a) || isPacked(b)) return matMulPacked(a as tf.Tensor2D, b as tf.Tensor2D, options) as T
  return tf.matMul(a, b, options.transposeA, options.transposeB) as T
}

/** One of the operands is packed. */
function matMulPacked(
  a: tf.Tensor2D,
  b: tf.Tensor2D,
  { transposeA = false, transposeB = false }: MatMulOptions,
): tf.Tensor2D {
  return isPacked(b)
    ? packedProduct({
        ...{ x: a, transposeX: transposeA, weight: b, transposeWeight: !transposeB },
        transposeResult: false,
      })
    : packedProduct({
        ...{ x: b, transposeX: !transposeB, weight: a, transposeWeight: transposeA },
        transposeResult: true,
      })
}

/**
 * Computes a product with a large weight in which the sums run down the columns of the weight, such as the gradient of a linear layer's input. It
 * adds rows of zeros to x where that makes the product faster: oneDNN has two float32 kernels, and without AVX-512 the one for few rows runs at half
 * the speed on such products.
 * @param x its tokens are along `axis`. @param features the features per token in the result.
 * @param multiply the product; the tokens of its result are along `resultAxis`.
 */
export function padRowsForMatMul(
  x: tf.Tensor2D,
  { axis, features, resultAxis }: { axis: 0 | 1; features: number; resultAxis: 0 | 1 },
  multiply: (x: tf.Tensor2D) => tf.Tensor2D,
): tf.Tensor2D {
  const tokens = x.shape[axis]
  const rows = gainsFromPadding(x) ? paddedRows(tokens, features) : tokens
  if (rows === tokens) return multiply(x)
  const padding: [number, number] = [0, rows - tokens]
  const padded = tf.pad2d(x, axis === 0 ? [padding, [0, 0]] : [[0, 0], padding])
  return tf.slice2d(multiply(padded), [0, 0], resultAxis === 0 ? [tokens, features] : [features, tokens])
}

/** oneDNN takes the kernel for few rows where 1 / rows + 1 / columns is at least this (its function `nocopy_checker_avx2`). */
const fewRowsThreshold = 0.0038

/** The smallest number of rows that oneDNN does not take for few, a multiple of 8; `rows` where that is as many, or more than is worth it. */
export function paddedRows(rows: number, columns: number): number {
  if (1 / columns >= fewRowsThreshold) return rows
  const enough = 8 * Math.ceil(1 / (fewRowsThreshold - 1 / columns) / 8)
  return rows < enough && enough <= maxGrowth * rows ? enough : rows
}

/** The speed doubles, and padding and slicing take some time too. */
const maxGrowth = 1.8

const gainsFromPadding = (x: tf.Tensor2D) => isNative() && lacksAvx512() && nativeDtypeOf(x) === 'float32'
