/**
 * What the operations of a transformer block are composed of. There are three sets. The portable one computes in float32 on every backend. The
 * differentiable one does the same with functions that have gradients, which takes longer. The native one computes in the precision of matrix products.
 */
import * as tf from '@tensorflow/tfjs'
import type { FrozenMatrix } from './device-tensors.ts'
import { matMul, padRowsForMatMul, plainMatMul } from './matmul.ts'
import { isNative } from './native.ts'
import * as native from './native-ops.ts'
import type { Rows } from './operations.ts'
import type { MatMulOptions } from './wasm-matmul.ts'

/** A *matrix* here is a tensor in the precision of matrix products. Everything else is float32. */
export type Primitives = {
  /** The product of two matrices, each transposed if asked for. */
  matMul(a: tf.Tensor, b: tf.Tensor, options?: MatMulOptions): tf.Tensor2D
  /** The products of two stacks of matrices, `[B, m, k], [B, k, n] → [B, m, n]`. */
  batchMatMul(a: tf.Tensor, b: tf.Tensor, options?: MatMulOptions): tf.Tensor3D
  /** A frozen weight as a matrix, `[out, in]`. */
  weight(frozen: FrozenMatrix): tf.Tensor2D
  /** A factor of a LoRA, float32, as an operand of a product. */
  factor(x: tf.Tensor2D): tf.Tensor2D
  /** float32 → matrix. */
  toMatrix<T extends tf.Tensor>(x: T): T
  toFloat32<T extends tf.Tensor>(x: T): T
  /** Of matrices. */
  add<T extends tf.Tensor>(a: T, b: tf.Tensor): T
  sub<T extends tf.Tensor>(a: T, b: tf.Tensor): T
  mul<T extends tf.Tensor>(a: T, b: tf.Tensor): T
  reshape(x: tf.Tensor, shape: readonly number[]): tf.Tensor
  /** The sum of the products and, if given, a bias. */
  sumOfProducts(products: readonly Product[], bias?: Bias): tf.Tensor2D
  /** The product of two matrices in float32. */
  matMulToFloat32(a: tf.Tensor, b: tf.Tensor, options?: MatMulOptions): tf.Tensor2D
  /** For each token its noise level, 0 or 1, in the form that `rowsOfLevels` takes. */
  levels(noisy: readonly (0 | 1)[]): tf.Tensor
  /** The row of each token's noise level, float32 `[2, D] → [N, D]`. */
  rowsOfLevels(rows: tf.Tensor2D, levels: tf.Tensor): tf.Tensor2D
}

/** a · b, each transposed if asked for. */
export type Product = MatMulOptions & {
  a: tf.Tensor
  b: tf.Tensor
  /** The operand that is not a large frozen weight, where that is not transposed. Its tokens may be padded if that makes the product faster. */
  padded?: 'a' | 'b'
}

export type Bias = { values: tf.Tensor1D; rows: Rows }

const identity = <T extends tf.Tensor>(x: T): T => x

/** @param multiply computes one product. */
const sumWith =
  (multiply: (product: Product) => tf.Tensor2D): Primitives['sumOfProducts'] =>
  (products, bias) => {
    const sum = products.map(multiply).reduce((sum, product) => tf.add(sum, product))
    if (!bias) return sum
    return tf.add(sum, bias.rows === 'tokens' ? bias.values : tf.reshape(bias.values, [-1, 1]))
  }

export const portablePrimitives: Primitives = {
  matMul: (a, b, options) => plainMatMul(a as tf.Tensor2D, b as tf.Tensor2D, options),
  batchMatMul: (a, b, options) => plainMatMul(a as tf.Tensor3D, b as tf.Tensor3D, options),
  weight: ({ stored }) => (isNative() ? native.toFloat32(stored) : stored),
  factor: identity,
  toMatrix: identity,
  toFloat32: identity,
  add: (a, b) => tf.add(a, b),
  sub: (a, b) => tf.sub(a, b),
  mul: (a, b) => tf.mul(a, b),
  reshape: (x, shape) => tf.reshape(x, shape as number[]),
  sumOfProducts: sumWith(({ a, b, ...options }) => plainMatMul(a as tf.Tensor2D, b as tf.Tensor2D, options)),
  matMulToFloat32: (a, b, options) => plainMatMul(a as tf.Tensor2D, b as tf.Tensor2D, options),
  levels: (noisy) => tf.tensor2d(noisy.map((level) => (level === 1 ? [0, 1] : [1, 0]))),
  rowsOfLevels: (rows, levels) => plainMatMul(levels as tf.Tensor2D, rows),
}

export const differentiablePrimitives: Primitives = {
  ...portablePrimitives,
  matMul: (a, b, options) => matMul(a as tf.Tensor2D, b as tf.Tensor2D, options),
  batchMatMul: (a, b, options) => matMul(a as tf.Tensor3D, b as tf.Tensor3D, options),
  sumOfProducts: sumWith(({ a, b, ...options }) => matMul(a as tf.Tensor2D, b as tf.Tensor2D, options)),
  matMulToFloat32: (a, b, options) => matMul(a as tf.Tensor2D, b as tf.Tensor2D, options),
  rowsOfLevels: (rows, levels) => matMul(levels as tf.Tensor2D, rows),
}

/** The bias is added last: otherwise TensorFlow fuses MatMul, BiasAdd and Add into an op that lacks a kernel on some processors. */
const nativeSum: Primitives['sumOfProducts'] = (products, bias) => {
  const sum = products.map(nativeProduct).reduce((sum, product) => native.add(sum, product))
  if (!bias) return sum
  const values = native.toComputeDtype(bias.values)
  return bias.rows === 'tokens' ? native.biasAdd(sum, values) : native.add(sum, native.reshape(values, [-1, 1]))
}

export function nativeProduct({ a, b, padded, ...options }: Product): tf.Tensor2D {
  if (!padded) return native.matMul(a, b, options)
  const { transposeA = false, transposeB = false } = options
  const [x, other] = (padded === 'a' ? [a, b] : [b, a]) as [tf.Tensor2D, tf.Tensor2D]
  const axis = (padded === 'a') === transposeA ? 1 : 0
  const features = other.shape[(padded === 'a' ? transposeB : !transposeA) ? 0 : 1] as number
  const tokens = { axis, features, resultAxis: padded === 'a' ? 0 : 1 } as const
  return padRowsForMatMul(x, tokens, (x) =>
    padded === 'a' ? native.matMul(x, b, options) : native.matMul(a, x, options),
  )
}

export const nativePrimitives: Primitives = {
  matMul: native.matMul,
  batchMatMul: native.batchMatMul,
  weight: ({ stored }) => native.toComputeDtype(stored),
  factor: native.toComputeDtype,
  toMatrix: native.toComputeDtype,
  toFloat32: native.toFloat32,
  add: native.add,
  sub: native.sub,
  mul: native.mul,
  reshape: native.reshape,
  sumOfProducts: nativeSum,
  matMulToFloat32: (a, b, options) => native.toFloat32(native.matMul(a, b, options)),
  levels: (noisy) => tf.tensor1d([...noisy], 'int32'),
  rowsOfLevels: (rows, levels) => native.gatherRows(rows, levels as tf.Tensor1D),
}
