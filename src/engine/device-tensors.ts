/** How a stored tensor becomes one that TensorFlow.js holds. */
import * as tf from '@tensorflow/tfjs'
import { toFloat32 } from '../formats/dtypes.ts'
import type { StoredTensor } from '../formats/safetensors.ts'
import { currentBackend } from './backend.ts'
import { byHand } from './custom-gradient.ts'
import { multiply, product } from './matmul.ts'
import {
  asTensor,
  castTo,
  dataTypes,
  isNative,
  nativeBackend,
  type OpOutput,
  typeAttribute,
  uploaded,
} from './native.ts'
import { matMul, narrow, wide } from './ops.ts'
import { currentPrecision, type Precision } from './precision.ts'

/** The stored values as a float32 tensor that outlives any tidy; its owner disposes of it. */
export function constant<R extends tf.Rank>({ bytes, dtype, shape }: StoredTensor): tf.Tensor<R> {
  const values = tf.keep(tf.tensor(toFloat32(bytes, dtype), shape as never, 'float32'))
  return (isNative() ? uploaded(values) : values) as tf.Tensor<R>
}

/**
 * A weight that never changes, `[out, in]` as stored. Backends that multiply transposed matrices slowly hold `[in, out]`, and the stored
 * orientation too from the first gradient on.
 */
export type FrozenMatrix = { shape: [number, number]; stored?: tf.Tensor2D; transposed?: tf.Tensor2D }

export function freeze(tensor: StoredTensor): FrozenMatrix {
  if (isNative()) return { shape: tensor.shape as [number, number], stored: resident(tensor) }
  const stored = constant<tf.Rank.R2>(tensor)
  const shape = tensor.shape as [number, number]
  if (currentBackend() !== 'wasm') return { shape, stored }
  const transposed = tf.keep(tf.transpose(stored))
  stored.dispose()
  return { shape, transposed }
}

/** Widens a weight that is held narrow, for many products before it goes: each would widen it anew. */
export function ready(matrix: FrozenMatrix) {
  if (!isNative() || !matrix.stored) return
  const held = matrix.stored
  const widened = tf.tidy(() => tf.keep(narrow(held)))
  if (widened === held) return
  held.dispose()
  matrix.stored = widened
}

export const dispose = (matrix: FrozenMatrix) =>
  tf.dispose([matrix.stored, matrix.transposed].filter((t) => t !== undefined))

/** Whether somebody has put a variable in the weight's place: a base is being made, and nothing is frozen. */
export const isLearning = ({ stored }: FrozenMatrix) => stored instanceof tf.Variable

/** x · Wᵀ: `[n, in] → [n, out]`, differentiable in x. */
export function timesFrozen(x: tf.Tensor2D, matrix: FrozenMatrix): tf.Tensor2D {
  if (isLearning(matrix)) return product(x, matrix.stored as tf.Tensor2D, { transposeB: true })
  if (isNative()) return timesResident(x, matrix.stored as tf.Tensor2D)
  const multiplied = tf.customGrad((input) => ({
    value: matrix.transposed
      ? multiply(input as tf.Tensor2D, matrix.transposed, false, false)
      : multiply(input as tf.Tensor2D, matrix.stored as tf.Tensor2D, false, true),
    gradFunc: (dy) => multiply(dy as tf.Tensor2D, storedOrientation(matrix), false, false),
  }))
  return multiplied(x) as tf.Tensor2D
}

/** The same in the precision of products. */
function timesResident(x: tf.Tensor2D, weight: tf.Tensor2D): tf.Tensor2D {
  return byHand(
    [x],
    () => ({ value: wide(matMul(narrow(x), narrow(weight), { transposeB: true })), kept: {} }),
    (dy) => [wide(matMul(narrow(dy), narrow(weight)))],
  ) as tf.Tensor2D
}

/** The stored values as a tensor that its owner disposes of. */
function resident({ bytes, dtype, shape }: StoredTensor): tf.Tensor2D {
  const { binding } = nativeBackend()
  const held = heldAs(dtype)
  if (held === narrowTypes[dtype]) {
    const raw = binding.createTensor([...shape, 2], dataTypes.uint8, copiesMisaligned() ? bytes : bytes.slice())
    const [cast] = binding.executeOp('Bitcast', [typeAttribute('T', 'uint8'), typeAttribute('type', held)], [raw], 1)
    binding.deleteTensor(raw)
    return tf.keep(asTensor(cast as OpOutput)) as tf.Tensor2D
  }
  return tf.tidy(() => tf.keep(uploaded(castTo(held, tf.tensor2d(toFloat32(bytes, dtype), shape as [number, number])))))
}

let copies: boolean | undefined

/** tfjs-node shares an array's memory with TensorFlow where it is aligned. What was only lent must not be, and a build may ask for no alignment. */
function copiesMisaligned(): boolean {
  if (copies !== undefined) return copies
  const { binding } = nativeBackend()
  const lent = new Float32Array(new ArrayBuffer(72), 8)
  const id = binding.createTensor([lent.length], dataTypes.float32, lent)
  lent.fill(1)
  copies = binding.tensorDataSync(id)[0] === 0
  binding.deleteTensor(id)
  return copies
}

/** The stored formats that TensorFlow takes as they are. */
const narrowTypes: { [dtype in StoredTensor['dtype']]?: Precision } = { BF16: 'bfloat16', F16: 'half' }

/** Where products are float32, narrow weights stay narrow and are widened when they are used: half the memory, for a tenth of the time. */
export function heldAs(dtype: StoredTensor['dtype'], precision = currentPrecision()): Precision {
  return precision === 'float32' ? (narrowTypes[dtype] ?? precision) : precision
}

function storedOrientation(matrix: FrozenMatrix): tf.Tensor2D {
  matrix.stored ??= tf.keep(tf.transpose(matrix.transposed as tf.Tensor2D))
  return matrix.stored
}

/** Matrices that wait in ordinary memory until a step needs them: patches `[T, 128]`, contexts `[S, D]`. */

export type HostMatrix = { shape: [rows: number, columns: number]; values: Float32Array }

/** As a batch of one, `[1, rows, columns]`. */
export const toBatch = ({ shape, values }: HostMatrix): tf.Tensor3D => tf.tensor3d(values, [1, ...shape])

/** A batch of one, taken out of TensorFlow.js; the tensor is disposed of. */
export function fromBatch(batch: tf.Tensor3D): HostMatrix {
  const [, rows, columns] = batch.shape
  const values = batch.dataSync<'float32'>().slice()
  batch.dispose()
  return { shape: [rows, columns], values }
}
