/** The tensors of a base in memory, by name. */
import { float32Bytes, toBfloat16, toFloat32 } from '../../src/formats/dtypes.ts'
import type { Safetensors, StoredTensor } from '../../src/formats/safetensors.ts'
import type { Metadata } from '../../src/formats/safetensors-header.ts'

export type Tensors = Map<string, StoredTensor>

export function valuesOf(tensors: Tensors, name: string): Float32Array {
  const { bytes, dtype } = tensors.get(name) as StoredTensor
  return toFloat32(bytes, dtype)
}

/** Replaces the values of a bfloat16 tensor. */
export function replaceValues(tensors: Tensors, name: string, values: Float32Array) {
  tensors.set(name, { ...(tensors.get(name) as StoredTensor), bytes: toBfloat16(values) })
}

/** Maps the values of a bfloat16 tensor. */
export const mapValues = (tensors: Tensors, name: string, change: (value: number, i: number) => number) =>
  replaceValues(tensors, name, valuesOf(tensors, name).map(change))

/** A float32 tensor of these values. */
export const float32Tensor = (values: Float32Array, shape: readonly number[] = [values.length]): StoredTensor => ({
  dtype: 'F32',
  shape: [...shape],
  bytes: float32Bytes(values),
})

/** The tensors as a checkpoint that the loaders of `src/model` can read. */
export const asCheckpoint = (tensors: Tensors, metadata: Metadata): Safetensors => ({
  path: 'the base in memory',
  metadata,
  tensors: new Map([...tensors].map(([name, { dtype, shape }]) => [name, { dtype, shape, start: 0, end: 0 }])),
  read: (name) => tensors.get(name) as StoredTensor,
  readPooled: (name) => tensors.get(name) as StoredTensor,
  readAhead: () => {},
  readRows: () => notSupported(),
  readStart: () => notSupported(),
  float32: (name) => valuesOf(tensors, name),
  close: () => {},
})

function notSupported(): never {
  throw new Error('a base in memory supports reading whole tensors only')
}
