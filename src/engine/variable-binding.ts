/**
 * Variables of a captured function. While it is recorded, placeholders take their place; afterwards their values are in the session, where every run
 * updates them. Reading a variable gives its present value: the session hands all values back at the first read, and takes them again at its next run.
 */
import * as tf from '@tensorflow/tfjs'
import { dtypeAttribute } from './graph.ts'
import { type NativeBackend, nativeBackend, type TensorData, tensorFromOutput } from './native.ts'
import type { Recording } from './recording.ts'
import { handleNodeOf, type Session, type SessionVariable } from './session.ts'

/**
 * Replaces a variable by a placeholder while a function is recorded.
 * @returns a function that restores the variable's own value, and adds the assignment to the graph if the recorded function assigned another.
 */
export function bindPlaceholder(
  recording: Recording,
  variable: tf.Variable,
  { name, shape, dtype }: SessionVariable,
): () => void {
  const { tensorMap } = nativeBackend()
  const { dataId } = variable
  const ownData = tensorMap.get(dataId)
  const id = recording.addVariablePlaceholder({ shape, dtype }, name, handleNodeOf(name))
  tensorMap.set(dataId, { id, shape: ownData.shape, dtype, values: null, refCount: ownData.refCount + 1 })
  const holder = tf.keep(tf.engine().makeTensorFromTensorInfo({ dataId, shape: [...shape], dtype: 'float32' }))
  return () => {
    if (variable.dataId !== dataId) {
      const assigned = tensorMap.get(variable.dataId)
      // the control input is the node that reads the old value
      const inputs = [handleNodeOf(name), recording.outputNameOf(assigned.id), `^${name}`]
      const attributes = [dtypeAttribute('dtype', dtype)]
      recording.addSideEffect(recording.add({ op: 'AssignVariableOp', inputs, attributes }))
      variable.assign(holder)
    }
    holder.dispose()
    tensorMap.set(dataId, ownData)
  }
}

export type VariableBinding = {
  /** Moves the values of the variables into the session, unless it has them. */
  bind(): void
  /** Gives the variables their present values back. */
  syncBack(): void
  /** The same; the session also frees its copies until the next `bind`. */
  release(): void
}

/** Binds variables to the variables of a session, which are in the same order. */
export function bindVariables(
  backend: NativeBackend,
  session: Session,
  variables: readonly tf.Variable[],
): VariableBinding {
  const dataOf = (variable: tf.Variable) => backend.tensorMap.get(variable.dataId)
  /** The data that the last `bind` gave each variable. A variable that has other data was assigned a new value since. */
  let boundData: (TensorData | undefined)[] = variables.map(() => undefined)
  const isUnchanged = (variable: tf.Variable, i: number) =>
    boundData[i] !== undefined && dataOf(variable) === boundData[i]
  /** Whether the present values are in the session alone. */
  let bound = false

  const syncBack = () => {
    if (!bound) return
    bound = false
    const values = session.getVariables()
    for (const [i, variable] of variables.entries()) {
      const id = values[i]?.id as number
      const data = boundData[i]
      if (data && backend.tensorMap.has(variable.dataId) && isUnchanged(variable, i))
        Object.defineProperty(data, 'id', { value: id, writable: true, enumerable: true, configurable: true })
      else backend.binding.deleteTensor(id)
    }
  }

  const bind = () => {
    if (bound && variables.every(isUnchanged)) return
    if (!variables.every(isUnchanged)) {
      syncBack()
      for (const variable of variables) unshareData(backend, variable)
      session.setVariables(backend.getInputTensorIds(variables))
    }
    boundData = variables.map((variable) => {
      const { id, ...rest } = dataOf(variable)
      backend.binding.deleteTensor(id)
      const data = Object.defineProperty({ ...rest } as TensorData, 'id', {
        get() {
          syncBack()
          return data.id
        },
        configurable: true,
        enumerable: true,
      })
      backend.tensorMap.set(variable.dataId, data)
      return data
    })
    bound = true
  }

  const release = () => {
    syncBack()
    if (boundData.includes(undefined)) return // the session has no values
    boundData = variables.map(() => undefined)
    session.clearVariables()
  }
  return { bind, syncBack, release }
}

/** Gives the variable a copy of its data where it shares them with other tensors, so that a clone keeps the value it was made from. */
function unshareData(backend: NativeBackend, variable: tf.Variable) {
  const data = backend.tensorMap.get(variable.dataId)
  if (data.refCount === 1) return
  const [id] = backend.getInputTensorIds([variable])
  const attributes = [{ name: 'T', type: backend.binding.TF_ATTR_TYPE, value: data.dtype }]
  const [output] = backend.binding.executeOp('Identity', attributes, [id as number], 1)
  const copy = tf.tidy(() => tf.keep(tensorFromOutput(output as never)))
  variable.assign(copy)
  copy.dispose()
}
