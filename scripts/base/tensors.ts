/** The base while it is being made: stored tensors by name, not yet in a file. */
import { float32Bytes, toBfloat16, toFloat32 } from '../../src/formats/dtypes.ts'
import type { Safetensors, StoredTensor } from '../../src/formats/safetensors.ts'
import type { Metadata } from '../../src/formats/safetensors-header.ts'

export type Tensors = Map<string, StoredTensor>

export function valuesOf(tensors: Tensors, name: string): Float32Array {
  const { bytes, dtype } = tensors.get(name) as StoredTensor
  return toFloat32(bytes, dtype)
}

/** Puts other values in the place of a bfloat16 tensor's. */
export function replaceValues(tensors: Tensors, name: string, values: Float32Array) {
  tensors.set(name, { ...(tensors.get(name) as StoredTensor), bytes: toBfloat16(values) })
}

/** Changes a bfloat16 tensor's values one by one. */
export const changeValues = (tensors: Tensors, name: string, change: (value: number, i: number) => number) =>
  replaceValues(tensors, name, valuesOf(tensors, name).map(change))

/** Values to be stored as they are. */
export const float32Tensor = (values: Float32Array, shape: readonly number[] = [values.length]): StoredTensor => ({
  dtype: 'F32',
  shape: [...shape],
  bytes: float32Bytes(values),
})

/** The tensors as a checkpoint that the model's own loaders can read. */
export const asCheckpoint = (tensors: Tensors, metadata: Metadata): Safetensors => ({
  path: 'the base in memory',
  metadata,
  tensors: new Map([...tensors].map(([name, { dtype, shape }]) => [name, { dtype, shape, start: 0, end: 0 }])),
  read: (name) => tensors.get(name) as StoredTensor,
  lend: (name) => tensors.get(name) as StoredTensor,
  readAhead: () => {},
  readRows: () => notNeeded(),
  readStart: () => notNeeded(),
  float32: (name) => valuesOf(tensors, name),
  close: () => {},
})

function notNeeded(): never {
  throw new Error('a base in memory is only read tensor by tensor')
}
