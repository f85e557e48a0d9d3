/** The exponential moving average of a LoRA: its factors, averaged over the steps. It often generalizes better than the LoRA of any single step. */
import * as tf from '@tensorflow/tfjs'
import { capture, capturesGraphs } from '../engine/capture.ts'
import { graphFunction } from '../engine/graph-function.ts'
import { typeAttribute } from '../engine/native.ts'
import { updateInPlace } from '../engine/native-ops.ts'
import type { LoraParameters } from '../model/lora.ts'
import { namesByBlock } from './optimizer.ts'

export type LoraAverage = {
  /** The averaged factors, by the names of the factors. */
  readonly values: LoraParameters
  /** Adds the factors as they are after a step. @param step 1-based. */
  add(step: number): Promise<void>
  /** Exchanges the LoRA with its average: the model then has the average, until they are exchanged again. */
  exchange(): void
  dispose(): void
}

/** Starts with the factors as they are. @param decay between 0 and 1: the weight of the average so far. */
export function startLoraAverage(parameters: LoraParameters, decay: number): LoraAverage {
  const values: LoraParameters = new Map([...parameters].map(([name, variable]) => [name, copyOf(variable)]))
  const { add, dispose } = capturesGraphs() ? captureAdd(parameters, values) : { add: addOnHost, dispose: () => {} }
  return {
    values,
    add: async (step) => add(1 - decayAt(step, decay), parameters, values),
    exchange: () => {
      for (const [name, variable] of parameters) exchangeValues(variable, values.get(name) as tf.Variable)
    },
    dispose: () => {
      dispose()
      tf.dispose([...values.values()])
    },
  }
}

/**
 * The decay grows from 2/11 to its final value, as in TensorFlow's and diffusers' moving averages: otherwise the first factors, which change nothing,
 * would have most of the weight for as long as 1 / (1 − decay) steps.
 */
export const decayAt = (step: number, decay: number) => Math.min(decay, (1 + step) / (10 + step))

function copyOf(variable: tf.Variable) {
  const value = tf.mul(variable, 1) // not a clone: variables may be changed in place
  const copy = tf.variable(value, false)
  value.dispose()
  return copy
}

function exchangeValues(first: tf.Variable, second: tf.Variable) {
  const kept = first.clone()
  first.assign(second)
  second.assign(kept)
  kept.dispose()
}

/** In JavaScript: the factors are so small that TensorFlow.js would take longer to start its operations for each of them. */
async function addOnHost(rate: number, parameters: LoraParameters, averages: LoraParameters) {
  for (const [name, parameter] of parameters) {
    const average = averages.get(name) as tf.Variable
    const [values, before] = await Promise.all([parameter.data<'float32'>(), average.data<'float32'>()])
    const averaged = before.slice()
    for (let i = 0; i < averaged.length; i++)
      averaged[i] = (averaged[i] as number) + rate * ((values[i] as number) - (averaged[i] as number))
    tf.tidy(() => average.assign(tf.tensor(averaged, average.shape)))
  }
}

/** The same in a graph, in place. */
function captureAdd(parameters: LoraParameters, averages: LoraParameters) {
  const dtype = [typeAttribute('dtype', 'float32')]
  const captured = capture(
    ({ rate }: { rate: tf.Scalar }) => {
      for (const names of namesByBlock(parameters)) {
        const [from, to] = [parameters, averages].map((variables) => {
          return names.map((name) => variables.get(name) as tf.Variable)
        }) as [tf.Variable[], tf.Variable[]]
        graphFunction('average', { inputs: { rate, from, to }, variables: to }, () => {
          for (const [i, average] of to.entries()) {
            const change = tf.mul(rate, tf.sub(average, from[i] as tf.Variable))
            updateInPlace('AssignSubVariableOp', [average], [change], dtype)
          }
          return []
        })
      }
      return { rate: tf.add(rate, 0) }
    },
    { variables: [...parameters.values(), ...averages.values()] },
  )
  return {
    add: (rate: number) => tf.tidy(() => void captured.run({ rate: tf.scalar(rate) })),
    dispose: captured.dispose,
  }
}
