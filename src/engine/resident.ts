/** How a stored tensor becomes one that TensorFlow.js holds. */
import * as tf from '@tensorflow/tfjs'
import { toFloat32 } from '../checkpoint/dtypes.ts'
import type { StoredTensor } from '../checkpoint/safetensors.ts'
import { currentBackend } from './backend.ts'
import { multiply } from './product.ts'

/** The stored values as a float32 tensor that outlives any tidy; its owner disposes of it. */
export const constant = <R extends tf.Rank>({ bytes, dtype, shape }: StoredTensor) =>
  tf.keep(tf.tensor(toFloat32(bytes, dtype), shape as never, 'float32')) as tf.Tensor<R>

/**
 * A weight that never changes, `[out, in]` as stored. Backends that multiply transposed matrices slowly hold `[in, out]`, and the stored
 * orientation too from the first gradient on.
 */
export type FrozenMatrix = { shape: [number, number]; stored?: tf.Tensor2D; transposed?: tf.Tensor2D }

export function freeze(tensor: StoredTensor): FrozenMatrix {
  const stored = constant<tf.Rank.R2>(tensor)
  const shape = tensor.shape as [number, number]
  if (currentBackend() !== 'wasm') return { shape, stored }
  const transposed = tf.keep(tf.transpose(stored))
  stored.dispose()
  return { shape, transposed }
}

export const dispose = (matrix: FrozenMatrix) =>
  tf.dispose([matrix.stored, matrix.transposed].filter((t) => t !== undefined))

/** x · Wᵀ: `[n, in] → [n, out]`, differentiable in x. */
export function timesFrozen(x: tf.Tensor2D, matrix: FrozenMatrix): tf.Tensor2D {
  const multiplied = tf.customGrad((input) => ({
    value: matrix.transposed
      ? multiply(input as tf.Tensor2D, matrix.transposed, false, false)
      : multiply(input as tf.Tensor2D, matrix.stored as tf.Tensor2D, false, true),
    gradFunc: (dy) => multiply(dy as tf.Tensor2D, storedOrientation(matrix), false, false),
  }))
  return multiplied(x) as tf.Tensor2D
}

function storedOrientation(matrix: FrozenMatrix): tf.Tensor2D {
  matrix.stored ??= tf.keep(tf.transpose(matrix.transposed as tf.Tensor2D))
  return matrix.stored
}
