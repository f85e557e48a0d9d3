/**
 * tfjs-node from below: its binding runs any TensorFlow op on any type, bfloat16 among them, which TensorFlow.js itself does not know. Tensors of
 * such types pass through TensorFlow.js as float32 by name; only `runOp` may compute with them.
 */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from './backend.ts'

/** TensorFlow's numbers for types. */
export const dataTypes = { float32: 1, int32: 3, uint8: 4, bool: 10, bfloat16: 14, half: 19 } as const
export type DataType = keyof typeof dataTypes

export type OpAttribute = { name: string; type: number; value: unknown }
export type OpOutput = { id: number; shape: number[]; dtype: number }

/** The part of tfjs-node's addon that is used here; tensors are numbers. */
export type Binding = {
  executeOp(op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number): OpOutput[]
  createTensor(shape: readonly number[], dtype: number, values: unknown): number
  deleteTensor(id: number): void
  tensorDataSync(id: number): Float32Array
  loadSavedModel(folder: string, tags: string): number
  deleteSavedModel(session: number): void
  /** Names are joined by commas. */
  runSavedModel(session: number, inputs: readonly number[], inputNames: string, outputNames: string): OpOutput[]
  TF_ATTR_STRING: number
  TF_ATTR_INT: number
  TF_ATTR_FLOAT: number
  TF_ATTR_BOOL: number
  TF_ATTR_TYPE: number
  TF_ATTR_SHAPE: number
}

/** The addon's members are not enumerable, and cannot be inherited: they are read-only. */
export const membersOf = (binding: Binding) =>
  Object.fromEntries(
    Object.getOwnPropertyNames(binding).map((name) => [name, binding[name as keyof Binding]]),
  ) as unknown as Binding

/** What tfjs-node knows of a tensor's data; `values` wait in JavaScript until an op wants them. */
export type TensorData = { id: number; shape: number[]; dtype: number; values: unknown; refCount: number }

export type NativeBackend = {
  binding: Binding
  tensorMap: {
    get(dataId: object): TensorData
    set(dataId: object, data: TensorData): void
    has(dataId: object): boolean
  }
  getInputTensorIds(tensors: readonly tf.Tensor[]): number[]
}

export const isNative = () => currentBackend() === 'tensorflow'

export const nativeBackend = () => tf.backend() as unknown as NativeBackend

/** The attributes of an op, by the kinds TensorFlow distinguishes. */
export const typeAttribute = (name: string, type: DataType): OpAttribute => ({
  name,
  type: nativeBackend().binding.TF_ATTR_TYPE,
  value: dataTypes[type],
})
export const flag = (name: string, value: boolean): OpAttribute => ({
  name,
  type: nativeBackend().binding.TF_ATTR_BOOL,
  value,
})
export const integer = (name: string, value: number): OpAttribute => ({
  name,
  type: nativeBackend().binding.TF_ATTR_INT,
  value,
})

/** The same tensor, its values no longer waiting in JavaScript for the first op that wants them. */
export function uploaded<T extends tf.Tensor>(tensor: T): T {
  nativeBackend().getInputTensorIds([tensor])
  return tensor
}

/** Runs one op with one output. */
export function runOp(op: string, inputs: readonly tf.Tensor[], attributes: readonly OpAttribute[]): tf.Tensor {
  const backend = nativeBackend()
  const [output] = backend.binding.executeOp(op, attributes, backend.getInputTensorIds(inputs), 1)
  return asTensor(output as OpOutput)
}

/** The tensor of an output, tracked by `tf.tidy` like any other. */
export function asTensor({ id, shape, dtype }: OpOutput): tf.Tensor {
  const dataId = {}
  nativeBackend().tensorMap.set(dataId, { id, shape, dtype, values: null, refCount: 1 })
  return tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype: dtype === dataTypes.int32 ? 'int32' : 'float32' })
}

const namesOfTypes = new Map<number, DataType>(
  Object.entries(dataTypes).map(([name, number]) => [number, name as DataType]),
)

/** The type that TensorFlow holds the tensor in, whatever TensorFlow.js believes. */
export function dataTypeOf(tensor: tf.Tensor): DataType {
  const { dtype } = nativeBackend().tensorMap.get(tensor.dataId)
  const name = namesOfTypes.get(dtype)
  if (name === undefined) throw new Error(`a tensor of TensorFlow's type ${dtype}`)
  return name
}

/** The same values in another of TensorFlow's types. */
export function castTo<T extends tf.Tensor>(to: DataType, x: T): T {
  const from = dataTypeOf(x)
  if (from === to) return x
  return runOp('Cast', [x], [typeAttribute('SrcT', from), typeAttribute('DstT', to), flag('Truncate', false)]) as T
}
