/**
 * Kernels of our own in WebAssembly (`wasm/`), for the wasm backend. They run in one thread and in a memory of their own: tensors are copied into it and
 * back, which takes little time beside what they compute.
 */
import * as tf from '@tensorflow/tfjs'
import { wasmBinary } from './wasm-binary.ts'

/** Whether this processor has the vector instructions that the kernels use. */
export function hasWasmKernels(): boolean {
  isValid ??= WebAssembly.validate(Buffer.from(wasmBinary, 'base64'))
  return isValid
}

let isValid: boolean | undefined

/** See `fusedSnake`. @param parameters both filters, `[12]`, then frequency and gain, `[C]`. */
export function wasmSnake(x: tf.Tensor3D, parameters: readonly tf.Tensor1D[]): tf.Tensor3D {
  const backend = tf.backend() as unknown as Backend
  const { memory, freeMemory, antiAliasedSnake } = kernels()
  const y = backend.makeOutput(x.shape, 'float32')
  const inputs = [x, ...parameters]
  const addresses = reserve(memory, freeMemory(), [...inputs, y])
  for (const [i, tensor] of inputs.entries())
    viewOf(memory, addresses[i] as number, tensor).set(valuesOf(backend, tensor))
  const [from, up, down, frequency, gain, to] = addresses as [number, number, number, number, number, number]
  antiAliasedSnake(from, to, ...x.shape, up, down, frequency, gain)
  valuesOf(backend, y).set(viewOf(memory, to, y))
  return tf.engine().makeTensorFromTensorInfo(y) as tf.Tensor3D
}

/** The members of the wasm backend that are used here. */
type Backend = {
  wasm: { HEAPU8: Uint8Array }
  dataIdMap: { get(dataId: object): { memoryOffset: number } }
  makeOutput(shape: readonly number[], dtype: 'float32'): tf.TensorInfo
}

const valuesOf = ({ wasm, dataIdMap }: Backend, { dataId, shape }: tf.TensorInfo) =>
  new Float32Array(wasm.HEAPU8.buffer, dataIdMap.get(dataId).memoryOffset, tf.util.sizeFromShape(shape))

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

function kernels(): Kernels {
  instance ??= new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(wasmBinary, 'base64')))
  return instance.exports
}

let instance: { exports: Kernels } | undefined

/** Node's types do not include WebAssembly. */
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { exports: Kernels }
}
