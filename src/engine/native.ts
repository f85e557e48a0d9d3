/**
 * The binding of tfjs-node, below TensorFlow.js. It runs any TensorFlow op on any data type, including bfloat16, which TensorFlow.js does not know.
 * To TensorFlow.js, tensors of such types are float32; only `runOp` may compute with them.
 */
import * as tf from '@tensorflow/tfjs'
import { hasWideVectors } from '../machine/hardware.ts'
import { UserError } from '../platform/errors.ts'

/** TensorFlow's codes for data types (tensorflow/core/framework/types.proto). */
export const dtypeCodes = { float32: 1, int32: 3, uint8: 4, bool: 10, bfloat16: 14, half: 19 } as const
export type NativeDtype = keyof typeof dtypeCodes

export type OpAttribute = { name: string; type: number; value: unknown }
export type OpOutput = { id: number; shape: number[]; dtype: number }

/** The members of tfjs-node's binding that are used here. Tensors are numbers (ids). */
export type Binding = {
  executeOp(op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number): OpOutput[]
  createTensor(shape: readonly number[], dtype: number, values: unknown): number
  deleteTensor(id: number): void
  tensorDataSync(id: number): Float32Array
  TF_ATTR_STRING: number
  TF_ATTR_INT: number
  TF_ATTR_FLOAT: number
  TF_ATTR_BOOL: number
  TF_ATTR_TYPE: number
  TF_ATTR_SHAPE: number
}

/** What the addon of `ltx-a2a setup-tensorflow` adds to the binding (`addon/context_functions.cc`). That of npm lacks it. */
export type FunctionBinding = Binding & {
  /** @param definition a serialized FunctionDef; `executeOp` then runs it under its name. */
  addFunction(definition: Uint8Array): void
  removeFunction(name: string): void
  /** TensorFlow's registry of ops, a serialized OpList. */
  getAllOps(): Uint8Array
  /** Whether it has fused ops for what this processor can do. Missing in addons of earlier versions. */
  multipliesBfloat16?: boolean
  convolvesFloat32?: boolean
}

/** Which fused ops the addon has (`addon/fused_ops.h`). They run on CPUs only. */
export function fusedOps(): { any: boolean; bfloat16Products: boolean; float32Convolutions: boolean } {
  const { multipliesBfloat16 = false, convolvesFloat32 = false } = nativeBackend().binding as Partial<FunctionBinding>
  const { hasFusedOps, device } = nativeFacts()
  const any = hasFusedOps && device === 'CPU'
  return { any, bfloat16Products: any && multipliesBfloat16, float32Convolutions: any && convolvesFloat32 }
}

export const hasFunctions = (binding: Binding): binding is FunctionBinding => 'addFunction' in binding

/** A plain object with the members of the binding, which are not enumerable and read-only. */
export const copyBinding = (binding: Binding) =>
  Object.fromEntries(
    Object.getOwnPropertyNames(binding).map((name) => [name, binding[name as keyof Binding]]),
  ) as unknown as Binding

/** What tfjs-node stores for the data of a tensor. `values` are kept in JavaScript until the first op that uses them. */
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

/** Whether native TensorFlow is the current backend. */
export const isNative = () => tf.getBackend() === 'tensorflow'

export const nativeBackend = () => tf.backend() as unknown as NativeBackend

/**
 * The version of native TensorFlow, the device it computes on, whether it runs captured functions as graphs, not op by op, and whether it has fused ops,
 * which run on CPUs only.
 */
export type NativeFacts = { version: string; device: 'GPU' | 'CPU'; hasGraphs: boolean; hasFusedOps: boolean }

/** @throws Error unless native TensorFlow is the current backend. */
export function nativeFacts(): NativeFacts {
  if (!isNative()) throw new Error(`${tf.getBackend()} is not native TensorFlow`)
  const { binding } = tf.backend() as unknown as {
    binding: Binding & { TF_Version: string; isUsingGpuDevice(): boolean }
  }
  return {
    version: binding.TF_Version,
    device: binding.isUsingGpuDevice() ? 'GPU' : 'CPU',
    hasGraphs: hasFunctions(binding),
    hasFusedOps: (binding as Partial<FunctionBinding>).convolvesFloat32 !== undefined, // the newest of them
  }
}

/** Whether native TensorFlow computes on a processor without AVX-512, where some of its kernels are missing or slow. */
export const lacksAvx512 = () => nativeFacts().device === 'CPU' && !hasWideVectors()

export const typeAttribute = (name: string, type: NativeDtype): OpAttribute => ({
  name,
  type: nativeBackend().binding.TF_ATTR_TYPE,
  value: dtypeCodes[type],
})
export const boolAttribute = (name: string, value: boolean): OpAttribute => ({
  name,
  type: nativeBackend().binding.TF_ATTR_BOOL,
  value,
})
export const intAttribute = (name: string, value: number): OpAttribute => ({
  name,
  type: nativeBackend().binding.TF_ATTR_INT,
  value,
})

export const intsAttribute = (name: string, values: readonly number[]): OpAttribute => ({
  name,
  type: nativeBackend().binding.TF_ATTR_INT,
  value: values,
})

/** Moves the values of a tensor from JavaScript to TensorFlow now, not at the first op that uses them. @returns the same tensor. */
export function upload<T extends tf.Tensor>(tensor: T): T {
  nativeBackend().getInputTensorIds([tensor])
  return tensor
}

/** Runs an op that has one output. */
export const runOp = (op: string, inputs: readonly tf.Tensor[], attributes: readonly OpAttribute[]) =>
  runOpWithOutputs(op, inputs, attributes, 1)[0] as tf.Tensor

/** @param count how many outputs the op has. */
export function runOpWithOutputs(
  op: string,
  inputs: readonly tf.Tensor[],
  attributes: readonly OpAttribute[],
  count: number,
): tf.Tensor[] {
  const backend = nativeBackend()
  return backend.binding.executeOp(op, attributes, backend.getInputTensorIds(inputs), count).map(tensorFromOutput)
}

/** The values of `LTX_A2A_INSTRUCTIONS`, which the addon reads (`addon/processor.h`). */
const instructions: readonly string[] = ['baseline', 'avx2', 'avx512', 'avx512_bf16', 'amx']

/** @throws UserError when `LTX_A2A_INSTRUCTIONS` is not one of them. */
export function checkInstructions({ LTX_A2A_INSTRUCTIONS: name }: NodeJS.ProcessEnv = process.env) {
  if (!name || instructions.includes(name)) return
  throw new UserError(`LTX_A2A_INSTRUCTIONS is ${name}`, { hint: `choose one of ${instructions.join(', ')}` })
}

/** The output of an op as a tensor that `tf.tidy` tracks. */
export function tensorFromOutput({ id, shape, dtype }: OpOutput): tf.Tensor {
  const dataId = {}
  nativeBackend().tensorMap.set(dataId, { id, shape, dtype, values: null, refCount: 1 })
  return tf
    .engine()
    .makeTensorFromTensorInfo({ dataId, shape, dtype: dtype === dtypeCodes.int32 ? 'int32' : 'float32' })
}

const dtypeNames = new Map<number, NativeDtype>(
  Object.entries(dtypeCodes).map(([name, code]) => [code, name as NativeDtype]),
)

/** The data type that TensorFlow stores the tensor in, whatever TensorFlow.js takes it for. */
export function nativeDtypeOf(tensor: tf.Tensor): NativeDtype {
  const { dtype } = nativeBackend().tensorMap.get(tensor.dataId)
  const name = dtypeNames.get(dtype)
  if (name === undefined) throw new Error(`a tensor has TensorFlow's data type ${dtype}, which is not supported`)
  return name
}

/** The same tensor where it has the data type already. */
export function cast<T extends tf.Tensor>(x: T, to: NativeDtype): T {
  const from = nativeDtypeOf(x)
  if (from === to) return x
  return runOp(
    'Cast',
    [x],
    [typeAttribute('SrcT', from), typeAttribute('DstT', to), boolAttribute('Truncate', false)],
  ) as T
}
