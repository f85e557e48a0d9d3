/**
 * Tensors that come from a file or from the host's memory, and go back there: constants, frozen weights, and matrices that wait on the host until a
 * step uses them.
 */
import * as tf from '@tensorflow/tfjs'
import { type Dtype, toFloat32 } from '../formats/dtypes.ts'
import type { StoredTensor } from '../formats/safetensors.ts'
import { sum } from '../platform/statistics.ts'
import {
  cast,
  dtypeCodes,
  isNative,
  nativeBackend,
  type OpOutput,
  tensorFromOutput,
  typeAttribute,
  upload,
} from './native.ts'
import { toComputeDtype, transpose } from './native-ops.ts'
import { currentPrecision, type Precision } from './precision.ts'
import { isWebGpu } from './webgpu/backend.ts'
import { isPackable, uploadPacked } from './webgpu/packed-weights.ts'

/** A stored tensor as float32. `tf.tidy` does not dispose of it, its owner does. */
export function constant<R extends tf.Rank>({ bytes, dtype, shape }: StoredTensor): tf.Tensor<R> {
  const values = tf.keep(tf.tensor(toFloat32(bytes, dtype), shape as never, 'float32'))
  return (isNative() ? upload(values) : values) as tf.Tensor<R>
}

/** A stored tensor as float32 with its axes in another order, as `tf.transpose` takes it. `tf.tidy` does not dispose of it, its owner does. */
export function transposedConstant<R extends tf.Rank>(tensor: StoredTensor, order: readonly number[]): tf.Tensor<R> {
  const format = sixteenBitFormats[tensor.dtype]
  return tf.tidy(() => {
    if (!isNative() || format === undefined) {
      const values = tf.tensor(toFloat32(tensor.bytes, tensor.dtype), tensor.shape as never, 'float32')
      return tf.keep(tf.transpose(values, [...order])) as tf.Tensor<R>
    }
    return tf.keep(cast(transpose(uploadBytes(tensor, format), order), 'float32')) as tf.Tensor<R>
  })
}

/** A weight that is not trained, `[out, in]`. On native TensorFlow it may be bfloat16 or half, on WebGPU packed bfloat16. */
export type FrozenMatrix = { shape: [number, number]; stored: tf.Tensor2D }

export const frozenMatrix = (tensor: StoredTensor): FrozenMatrix => ({
  shape: tensor.shape as [number, number],
  stored: isNative()
    ? uploadMatrix(tensor)
    : isPackedHere(tensor)
      ? uploadPacked(tensor)
      : constant<tf.Rank.R2>(tensor),
})

const isPackedHere = (tensor: StoredTensor) => isWebGpu() && isPackable(tensor)

/** Casts the weight to the precision of matrix products, so that many products with it do not cast it again each time. */
export function castInPlace(matrix: FrozenMatrix) {
  if (!isNative()) return
  const before = matrix.stored
  const after = tf.tidy(() => tf.keep(toComputeDtype(before)))
  if (after === before) return
  before.dispose()
  matrix.stored = after
}

/** Whether a variable was put in the place of the weight: then the base itself is trained. */
export const isTrainable = ({ stored }: FrozenMatrix) => stored instanceof tf.Variable

/** The bytes of a 16-bit format, as they are. */
function uploadBytes({ bytes, shape }: StoredTensor, format: Precision): tf.Tensor {
  const { binding } = nativeBackend()
  const raw = binding.createTensor([...shape, 2], dtypeCodes.uint8, copiesUnalignedArrays() ? bytes : bytes.slice())
  const attributes = [typeAttribute('T', 'uint8'), typeAttribute('type', format)]
  const [output] = binding.executeOp('Bitcast', attributes, [raw], 1)
  binding.deleteTensor(raw)
  return tensorFromOutput(output as OpOutput)
}

function uploadMatrix(tensor: StoredTensor): tf.Tensor2D {
  const { bytes, dtype, shape } = tensor
  const precision = storagePrecision(dtype)
  if (precision === sixteenBitFormats[dtype]) return tf.keep(uploadBytes(tensor, precision)) as tf.Tensor2D
  return tf.tidy(() => {
    const values = tf.tensor2d(toFloat32(bytes, dtype), shape as [number, number])
    return tf.keep(upload(cast(values, precision)))
  })
}

/**
 * The format that a frozen weight has in memory on native TensorFlow. Where products are float32, 16-bit weights stay as stored and are cast when they
 * are used: half the memory for a tenth more time.
 */
export function storagePrecision(dtype: Dtype, precision = currentPrecision()): Precision {
  return precision === 'float32' ? (sixteenBitFormats[dtype] ?? precision) : precision
}

const sixteenBitFormats: { [dtype in Dtype]?: Precision } = { BF16: 'bfloat16', F16: 'half' }

/**
 * Whether this build of tfjs-node copies an array that is not aligned. An aligned array shares its memory with TensorFlow; a borrowed buffer, which
 * is overwritten by the next tensor of the file, starts at an unaligned address for that reason. A build that accepts any alignment shares it too.
 */
function copiesUnalignedArrays(): boolean {
  if (copiesUnaligned !== undefined) return copiesUnaligned
  const { binding } = nativeBackend()
  const unaligned = new Float32Array(new ArrayBuffer(72), 8)
  const id = binding.createTensor([unaligned.length], dtypeCodes.float32, unaligned)
  unaligned.fill(1)
  copiesUnaligned = binding.tensorDataSync(id)[0] === 0
  binding.deleteTensor(id)
  return copiesUnaligned
}

/** Known after the first call; it does not change while the process runs. */
let copiesUnaligned: boolean | undefined

/** A matrix in ordinary memory: patches `[T, 128]`, contexts `[S, D]`. */
export type HostMatrix = { shape: [rows: number, columns: number]; values: Float32Array }

/** The rows `from … to − 1`. The result shares memory with the matrix. */
export const rows = ({ shape: [, columns], values }: HostMatrix, from: number, to: number): HostMatrix => ({
  shape: [to - from, columns],
  values: values.subarray(from * columns, to * columns),
})

/** The rows of all matrices, which have the same number of columns. */
export function concatenateRows(matrices: readonly HostMatrix[]): HostMatrix {
  const columns = matrices[0]?.shape[1] ?? 0
  const count = sum(matrices.map(({ shape }) => shape[0]))
  const values = new Float32Array(count * columns)
  let at = 0
  for (const matrix of matrices) {
    values.set(matrix.values, at)
    at += matrix.values.length
  }
  return { shape: [count, columns], values }
}

/** A batch of one, `[1, rows, columns]`. */
export const toBatch = ({ shape, values }: HostMatrix): tf.Tensor3D => tf.tensor3d(values, [1, ...shape])

/** The values of a batch of one, `[1, rows, columns]`; the tensor is disposed of. */
export async function fromBatch(batch: tf.Tensor3D): Promise<HostMatrix> {
  const [, rows, columns] = batch.shape
  try {
    const values = (await batch.data<'float32'>()).slice()
    return { shape: [rows, columns], values }
  } finally {
    batch.dispose()
  }
}
