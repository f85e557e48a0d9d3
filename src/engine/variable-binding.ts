/**
 * Variables whose values live in a session while it trains them. Whoever looks at one gets its present value: the session gives all of them back at
 * the first look, and takes them again when it runs next.
 */
import * as tf from '@tensorflow/tfjs'
import { asTensor, type NativeBackend, type TensorData } from './native.ts'
import type { Session } from './session.ts'

export type Borrowed = {
  /** Takes the variables' values into the session, unless it has them. */
  take(): void
  /** Ends the borrowing: the variables hold their own values again. */
  giveBack(): void
  /** The same, and the session lets go of the values until it takes them again. */
  rest(): void
}

export function borrow(backend: NativeBackend, session: Session, variables: readonly tf.Variable[]): Borrowed {
  /** What tfjs-node knows of each variable, as we left it: anything else was put there by others since. */
  let left: (TensorData | undefined)[] = variables.map(() => undefined)
  const dataOf = (variable: tf.Variable) => backend.tensorMap.get(variable.dataId)
  const isOurs = (variable: tf.Variable, i: number) => left[i] !== undefined && dataOf(variable) === left[i]
  let lent = false

  const giveBack = () => {
    if (!lent) return
    lent = false
    const values = session.get()
    for (const [i, variable] of variables.entries()) {
      const id = values[i]?.id as number
      const data = left[i]
      if (data && backend.tensorMap.has(variable.dataId) && isOurs(variable, i))
        Object.defineProperty(data, 'id', { value: id, writable: true, enumerable: true, configurable: true })
      else backend.binding.deleteTensor(id)
    }
  }

  const take = () => {
    if (lent && variables.every(isOurs)) return
    if (!variables.every(isOurs)) {
      giveBack()
      for (const variable of variables) own(backend, variable)
      session.set(backend.getInputTensorIds(variables))
    }
    left = variables.map((variable) => {
      const { id, ...data } = dataOf(variable)
      backend.binding.deleteTensor(id)
      const lentData = Object.defineProperty({ ...data } as TensorData, 'id', {
        get() {
          giveBack()
          return lentData.id
        },
        configurable: true,
        enumerable: true,
      })
      backend.tensorMap.set(variable.dataId, lentData)
      return lentData
    })
    lent = true
  }
  const rest = () => {
    giveBack()
    if (left.includes(undefined)) return // it holds none
    left = variables.map(() => undefined)
    session.clear()
  }
  return { take, giveBack, rest }
}

/** Makes the variable the only holder of its data: a clone taken of it keeps the value it had. */
function own(backend: NativeBackend, variable: tf.Variable) {
  const data = backend.tensorMap.get(variable.dataId)
  if (data.refCount === 1) return
  const [id] = backend.getInputTensorIds([variable])
  const attributes = [{ name: 'T', type: backend.binding.TF_ATTR_TYPE, value: data.dtype }]
  const [same] = backend.binding.executeOp('Identity', attributes, [id as number], 1)
  const copy = tf.tidy(() => tf.keep(asTensor(same as never)))
  variable.assign(copy)
  copy.dispose()
}
