/**
 * Kernels of our own in WebAssembly (`wasm/`), for the wasm backend. They run in one thread and in a memory of their own: tensors are copied into it and
 * back, which takes little time beside what they compute.
 */
import * as tf from '@tensorflow/tfjs'
import { wasmBinary } from './wasm-binary.ts'

/** False where the processor lacks the vector instructions that the kernels use, or the address space is limited too much for another memory. */
export const hasWasmKernels = (): boolean => kernels() !== undefined

/** The number of taps of both filters. */
export const snakeTaps = 12

/**
 * See `fusedSnake`. @param parameters both filters, `[12]`, then frequency and gain, `[C]`.
 * @throws Error for other shapes or data types, or where there is no memory left.
 */
export function wasmSnake(x: tf.Tensor3D, parameters: readonly tf.Tensor1D[]): tf.Tensor3D {
  const backend = tf.backend() as unknown as Backend
  const { memory, freeMemory, antiAliasedSnake } = kernels() as Kernels
  const inputs = [x, ...parameters]
  const channels = x.shape[2]
  const sizes = [x.size, snakeTaps, snakeTaps, channels, channels]
  if (x.rank !== 3 || inputs.some(({ size, dtype }, i) => size !== sizes[i] || dtype !== 'float32'))
    throw new Error('an input has an unexpected shape or data type')
  const addresses = reserve(memory, freeMemory(), [...inputs, x])
  for (const [i, tensor] of inputs.entries())
    viewOf(memory, addresses[i] as number, tensor).set(valuesOf(backend, tensor))
  const [from, up, down, frequency, gain, to] = addresses as [number, number, number, number, number, number]
  antiAliasedSnake(from, to, ...x.shape, up, down, frequency, gain)
  const y = backend.makeOutput(x.shape, 'float32')
  valuesOf(backend, y).set(viewOf(memory, to, y))
  return tf.engine().makeTensorFromTensorInfo(y) as tf.Tensor3D
}

/** The members of the wasm backend that are used here. */
type Backend = {
  wasm: { HEAPU8: Uint8Array }
  dataIdMap: { get(dataId: object): { memoryOffset: number } }
  makeOutput(shape: readonly number[], dtype: 'float32'): tf.TensorInfo
}

/** @throws Error for a tensor for which the backend had no memory. */
function valuesOf({ wasm, dataIdMap }: Backend, { dataId, shape }: tf.TensorInfo): Float32Array {
  const size = tf.util.sizeFromShape(shape)
  const { memoryOffset } = dataIdMap.get(dataId) // moves the tensor of another backend here, which may replace the buffer
  if (memoryOffset === 0 && size > 0) throw new Error('the WebAssembly backend has no memory left')
  return new Float32Array(wasm.HEAPU8.buffer, memoryOffset, size)
}

type Memory = { buffer: ArrayBuffer; grow(pages: number): void }

const viewOf = ({ buffer }: Memory, address: number, { shape }: { shape: readonly number[] }) =>
  new Float32Array(buffer, address, tf.util.sizeFromShape([...shape]))

const pageBytes = 2 ** 16
const alignment = 16

/** The addresses of arrays from `free` on. Makes the memory large enough for them. */
function reserve(memory: Memory, free: number, arrays: readonly { shape: readonly number[] }[]): number[] {
  let end = free
  const addresses = arrays.map(({ shape }) => {
    const address = Math.ceil(end / alignment) * alignment
    end = address + 4 * tf.util.sizeFromShape([...shape])
    return address
  })
  const missing = end - memory.buffer.byteLength
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes))
  return addresses
}

type Kernels = {
  memory: Memory
  freeMemory(): number
  /** Arrays are given by their addresses. */
  antiAliasedSnake(
    ...args: [x: number, y: number, batch: number, samples: number, channels: number, ...parameters: number[]]
  ): void
}

function kernels(): Kernels | undefined {
  loaded ??= load() ?? 'missing'
  return loaded === 'missing' ? undefined : loaded
}

function load(): Kernels | undefined {
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(wasmBinary, 'base64'))).exports
  } catch {
    return undefined
  }
}

let loaded: Kernels | 'missing' | undefined

/** Node's types do not include WebAssembly. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { exports: Kernels }
}
