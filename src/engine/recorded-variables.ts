/** Variables while a function is recorded: what is read from them and written to them lives in the session. */
import * as tf from '@tensorflow/tfjs'
import { typed } from './graph.ts'
import { nativeBackend, type OpAttribute } from './native.ts'
import { currentRecording, type Recording } from './recording.ts'
import { handleOf, type Slot } from './session.ts'

/**
 * Lets the variable stand for its slot in the session while the body is written down.
 * @returns what puts its own value back; where the body assigned another, the graph does so in the session.
 */
export function standIn(recording: Recording, variable: tf.Variable, { name, shape, dtype }: Slot): () => void {
  const { tensorMap } = nativeBackend()
  const { dataId } = variable
  const own = tensorMap.get(dataId)
  const id = recording.variableStandIn({ shape, dtype }, name, handleOf(name))
  tensorMap.set(dataId, { id, shape: own.shape, dtype, values: null, refCount: own.refCount + 1 })
  const holder = tf.keep(tf.engine().makeTensorFromTensorInfo({ dataId, shape: [...shape], dtype: 'float32' }))
  return () => {
    if (variable.dataId !== dataId) {
      const { id } = tensorMap.get(variable.dataId)
      // it waits for the reading of the old value
      const inputs = [handleOf(name), recording.nameOf(id), `^${name}`]
      recording.effect(recording.add({ op: 'AssignVariableOp', inputs, attributes: [typed('dtype', dtype)] }))
      variable.assign(holder)
    }
    holder.dispose()
    tensorMap.set(dataId, own)
  }
}

/**
 * While a function is recorded: an op that changes variables in place, which TensorFlow.js has none of.
 * @param op its inputs are the variables first, then the tensors. @param earlier what must have happened before.
 */
export function updateInPlace(
  op: string,
  variables: readonly tf.Variable[],
  tensors: readonly tf.Tensor[],
  attributes: readonly OpAttribute[],
  earlier: readonly string[] = [],
): string {
  const recording = currentRecording()
  if (!recording) throw new Error(`${op} belongs in a recording`)
  const ids = (list: readonly tf.Tensor[]) => nativeBackend().getInputTensorIds(list)
  const inputs = [
    ...ids(variables).map(recording.handleOf),
    ...ids(tensors).map(recording.nameOf),
    ...earlier.map((node) => `^${node}`),
  ]
  const node = recording.add({ op, inputs, attributes: [...attributes] })
  recording.effect(node)
  return node
}
