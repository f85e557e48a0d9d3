/**
 * Variables of captured functions. TensorFlow keeps the value of each once, and all captured functions that use the variable are given its handle: they
 * read and update the value in place. Reading the variable in JavaScript gives its current value.
 */
import * as tf from '@tensorflow/tfjs'
import { dtypeCodes, nativeBackend, type OpOutput, type TensorData, typeAttribute } from './native.ts'
import type { Recording } from './recording.ts'

export type SharedVariable = {
  /** The handle to pass to a function that is about to run. First writes to it what was assigned to the `tf.Variable` since the last run. */
  handle(): number
  /** When the last user releases it, the `tf.Variable` has its value as an ordinary tensor again. */
  release(): void
}

type RefCounted = SharedVariable & { users: number }

const shared = new WeakMap<tf.Variable, RefCounted>()

/** Shares a float32 variable with the other captured functions that use it. It must be released. */
export function shareVariable(variable: tf.Variable): SharedVariable {
  const found = shared.get(variable) ?? moveToContext(variable)
  shared.set(variable, found)
  found.users++
  return found
}

function moveToContext(variable: tf.Variable): RefCounted {
  const { binding, tensorMap } = nativeBackend()
  const name = freeNames.pop() ?? `variable${names++}`
  const handle = createHandle(name, variable.shape)
  const dtype = [typeAttribute('dtype', 'float32')]
  /** What TensorFlow.js holds instead of the value. The value is read on first use, and kept until the next run. */
  let proxy: { dataId: object; data: TensorData } | undefined
  let lastRead: number | undefined

  const read = () => {
    lastRead ??= (binding.executeOp('ReadVariableOp', dtype, [handle], 1)[0] as OpOutput).id
    return lastRead
  }
  /** While a tensor that was read from the variable exists, the next update would have to copy the value. */
  const forgetRead = () => {
    if (lastRead !== undefined) binding.deleteTensor(lastRead)
    lastRead = undefined
  }
  /** Tensors that share the proxy keep the current value, as ordinary tensors. */
  const detachProxy = () => {
    if (proxy && tensorMap.has(proxy.dataId)) defineId(proxy.data, { value: read(), writable: true })
    lastRead = undefined // it is the ordinary tensor now, or TensorFlow.js deleted it with the proxy
    proxy = undefined
  }
  const createProxy = () => {
    const data: TensorData = {
      id: -1,
      shape: [...variable.shape],
      dtype: dtypeCodes.float32,
      values: null,
      refCount: 1,
    }
    const dataId = {}
    tensorMap.set(dataId, data)
    const holder = tf.engine().makeTensorFromTensorInfo({ dataId, shape: variable.shape, dtype: 'float32' })
    variable.assign(holder)
    holder.dispose()
    defineId(data, { get: read })
    proxy = { dataId, data }
  }

  const self: RefCounted = {
    users: 0,
    handle: () => {
      const isAssigned = variable.dataId !== proxy?.dataId
      if (!isAssigned && proxy?.data.refCount === 1) {
        forgetRead()
        return handle
      }
      detachProxy() // clones keep the value that they were made from
      if (isAssigned)
        binding.executeOp('AssignVariableOp', dtype, [handle, ...nativeBackend().getInputTensorIds([variable])], 0)
      createProxy()
      return handle
    },
    release: () => {
      self.users--
      if (self.users > 0) return
      detachProxy()
      shared.delete(variable)
      const ignore = { name: 'ignore_lookup_error', type: binding.TF_ATTR_BOOL, value: true }
      binding.executeOp('DestroyResourceOp', [ignore], [handle], 0)
      binding.deleteTensor(handle)
      freeNames.push(name)
    },
  }
  return self
}

const defineId = (data: TensorData, descriptor: PropertyDescriptor) =>
  Object.defineProperty(data, 'id', { ...descriptor, enumerable: true, configurable: true })

/** Handles of one name are the same variable. TensorFlow never forgets a name, so released names are used again. */
const freeNames: string[] = []
let names = 0

function createHandle(name: string, shape: readonly number[]): number {
  const { binding } = nativeBackend()
  const attributes = [
    typeAttribute('dtype', 'float32'),
    { name: 'shape', type: binding.TF_ATTR_SHAPE, value: [...shape] },
    { name: 'shared_name', type: binding.TF_ATTR_STRING, value: name },
  ]
  return (binding.executeOp('VarHandleOp', attributes, [], 1)[0] as OpOutput).id
}

/**
 * Replaces a variable by a variable of the recording.
 * @returns a function that restores the variable's own value, and adds the assignment to the graph if the recorded function assigned another.
 */
export function replaceByPlaceholder(recording: Recording, variable: tf.Variable): () => void {
  const { tensorMap } = nativeBackend()
  const { dataId, shape } = variable
  const ownData = tensorMap.get(dataId)
  const spec = { shape, dtype: dtypeCodes.float32 }
  const id = recording.addVariable(spec)
  tensorMap.set(dataId, { id, ...spec, shape: [...shape], values: null, refCount: ownData.refCount + 1 })
  const holder = tf.keep(tf.engine().makeTensorFromTensorInfo({ dataId, shape: [...shape], dtype: 'float32' }))
  return () => {
    if (variable.dataId !== dataId) {
      const assigned = tensorMap.get(variable.dataId)
      const afterRead = recording.controlInputsOf(id) // the node that reads the old value
      const inputs = [recording.handleNameOf(id), recording.outputNameOf(assigned.id), ...afterRead]
      recording.addSideEffect(
        recording.add({ op: 'AssignVariableOp', inputs, attributes: [typeAttribute('dtype', 'float32')] }),
      )
      variable.assign(holder)
    }
    holder.dispose()
    tensorMap.set(dataId, ownData)
  }
}
