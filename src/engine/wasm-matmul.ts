/**
 * Matrix products on the wasm backend. Its kernel multiplies two plain matrices ten times as fast as transposed or stacked ones. So transposes are carried
 * out first, as few as possible, and the matrices of a stack are multiplied one by one.
 */
import * as tf from '@tensorflow/tfjs'
import type { TransposeOptions } from './native-ops.ts'

export type MatMulOptions = TransposeOptions & {
  /** A hint: the second factor is a factor of several products. */
  sharedB?: boolean
}

/**
 * The product of two matrices, or of two stacks of as many, each transposed if asked for. It has no gradient. Transposed operands exist until the end of
 * the enclosing `tf.tidy`: other products use them again.
 */
export function wasmMatMul<T extends tf.Tensor2D | tf.Tensor3D>(
  a: T,
  b: T,
  { transposeA = false, transposeB = false, sharedB = false }: MatMulOptions = {},
): T {
  const productSize =
    ((a.shape.at(transposeA ? -1 : -2) as number) * b.size) / (b.shape.at(transposeB ? -1 : -2) as number)
  // A · B = (Bᵀ · Aᵀ)ᵀ. The kernel packs its second factor, at twice the cost per element of a transpose, and keeps the packed copy while the factor exists.
  // In a block, a shared factor is used in about four products.
  const shareOfCost = sharedB ? 1 / 4 : 1
  const directCost = (transposeA ? a.size : 0) + (transposeB ? 3 : 2) * shareOfCost * b.size
  const transposedCost = (transposeA ? 2 : 3) * a.size + (transposeB ? 0 : shareOfCost * b.size) + productSize
  if (transposedCost >= directCost) return multiply(transposeA ? transposed(a) : a, transposeB ? transposed(b) : b)
  const product = multiply(transposeB ? b : transposed(b), transposeA ? a : transposed(a))
  const result = transposeLast(product)
  product.dispose()
  return result
}

/** The transposes of tensors, by their data and shape. */
const transposes = new WeakMap<object, Map<string, tf.Tensor>>()

function transposed<T extends tf.Tensor>(x: T): T {
  const ofData = transposes.get(x.dataId) ?? new Map<string, tf.Tensor>()
  transposes.set(x.dataId, ofData)
  const known = ofData.get(String(x.shape))
  if (known && !known.isDisposed) return known as T
  const created = transposeLast(x)
  ofData.set(String(x.shape), created)
  return created
}

/** Swaps the last two axes. */
const transposeLast = <T extends tf.Tensor>(x: T) => tf.transpose(x, x.rank === 2 ? [1, 0] : [0, 2, 1]) as T

const multiply = <T extends tf.Tensor>(a: T, b: T): T =>
  a.rank === 2 ? (tf.matMul(a, b) as T) : (multiplyStacks(a as tf.Tensor3D, b as tf.Tensor3D) as tf.Tensor as T)

/** The members of the backend that are used here. Its tensors are numbers (ids) with an address in the memory of the module. */
type Backend = {
  wasm: {
    cwrap(name: string, returns: null, parameters: readonly ('number' | 'array')[]): BatchMatMul
    tfjs: { registerTensor(id: number, elements: number, address: number): void; disposeData(id: number): void }
  }
  dataIdMap: { get(dataId: object): { id: number; memoryOffset: number } }
  dataIdNextNumber: number
  makeOutput(shape: readonly number[], dtype: 'float32'): tf.TensorInfo
}

/** Two matrices as id, shape and rank, then transposeA, transposeB and the id of the product. */
type BatchMatMul = (...args: (number | Uint8Array)[]) => void

/** `[B, m, k], [B, k, n] → [B, m, n]`. The kernel gets each matrix of a stack as a tensor in the memory of the stack, so nothing is copied. */
function multiplyStacks(a: tf.Tensor3D, b: tf.Tensor3D): tf.Tensor3D {
  const backend = tf.backend() as unknown as Backend
  const [matrices, rows, inner] = a.shape
  const columns = b.shape[2]
  const product = backend.makeOutput([matrices, rows, columns], 'float32')
  const batchMatMul = kernelOf(backend)
  const stacks = [a, b, product].map(({ dataId, shape }) => ({
    ...backend.dataIdMap.get(dataId),
    size: shape[1] * shape[2],
  }))
  const bytes = (shape: number[]) => new Uint8Array(Int32Array.from(shape).buffer)
  const [shapeA, shapeB] = [bytes([1, rows, inner]), bytes([1, inner, columns])]
  for (let i = 0; i < matrices; i++) {
    const ids = stacks.map(({ memoryOffset, size }) => {
      const id = backend.dataIdNextNumber++
      backend.wasm.tfjs.registerTensor(id, size, memoryOffset + 4 * size * i)
      return id
    }) as [number, number, number]
    batchMatMul(ids[0], shapeA, 3, ids[1], shapeB, 3, 0, 0, ids[2])
    for (const id of ids) backend.wasm.tfjs.disposeData(id)
  }
  return tf.engine().makeTensorFromTensorInfo(product) as tf.Tensor3D
}

const kernels = new WeakMap<Backend, BatchMatMul>()

function kernelOf(backend: Backend): BatchMatMul {
  const matrix = ['number', 'array', 'number'] as const
  const parameters = [...matrix, ...matrix, 'number', 'number', 'number'] as const
  const kernel = kernels.get(backend) ?? backend.wasm.cwrap('BatchMatMul', null, parameters)
  kernels.set(backend, kernel)
  return kernel
}
