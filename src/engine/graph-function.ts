/**
 * A part of a captured function that occurs again and again with other weights, such as a block and its gradient: it is written down once, as a
 * function of the graph, and called. TensorFlow prepares it once, and what it computes on the way is gone when the call returns.
 */
import * as tf from '@tensorflow/tfjs'
import { leaves, refilled, type Tree } from './custom-gradient.ts'
import { callOf, type GraphFunction } from './graph.ts'
import { dataTypeOf, nativeBackend } from './native.ts'
import { currentRecording, type Recording } from './recording.ts'
import type { TensorInfo } from './shapes.ts'

export type Outlining = {
  /** All that the body uses: tensors in groups, and the numbers and flags among them that decide what it does. */
  given: object
  /** What the body changes with `updateInPlace`. */
  variables?: readonly tf.Variable[]
  /** What must be there first in a graph, which would begin with all at once that it can, and hold all results. */
  after?: tf.Tensor
}

/**
 * Runs the body; while a function is captured, writes it down or, where an equal one was written before, calls that. A call that was made before
 * with the same tensors, and no variable that could have changed, is not made again. It has no gradient: it is for gradients written by hand.
 * @param label what the body does; two bodies need two labels.
 */
export function outlined<R extends Tree>(label: string, { given, variables = [], after }: Outlining, body: () => R): R {
  const recording = currentRecording()
  if (!recording) return body()
  const tensors: tf.Tensor[] = []
  const described = describe(given, tensors)
  const backend = nativeBackend()
  const [ids, variableIds] = [backend.getInputTensorIds(tensors), backend.getInputTensorIds(variables)]
  const signature = JSON.stringify([
    ...[label, described, describe(variables, [])],
    [ids, variableIds].map((list) => list.map((id) => list.indexOf(id))), // the same tensor twice is another function
  ])
  const known = partsOf(recording)
  const part = known.get(signature) ?? write(recording, label, { ids, variableIds, body })
  known.set(signature, part)
  const awaited = after && recording.nodeOf(backend.getInputTensorIds([after])[0] as number)
  return call(recording, part, { ids, variableIds, awaited }) as R
}

type Ids = readonly number[]

type Part = { written: GraphFunction; results: Tree; infos: TensorInfo[] }

const parts = new WeakMap<Recording, Map<string, Part>>()

function partsOf(recording: Recording): Map<string, Part> {
  const known = parts.get(recording) ?? new Map<string, Part>()
  parts.set(recording, known)
  return known
}

/** Collects the tensors, and says everything else. Names do not decide what is computed. */
function describe(value: unknown, tensors: tf.Tensor[]): unknown {
  if (value === undefined || typeof value === 'string') return null
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (value instanceof tf.Tensor) {
    tensors.push(value)
    return `${dataTypeOf(value)} ${value.shape}`
  }
  if (typeof value !== 'object') throw new Error(`a function of the graph cannot be given a ${typeof value}`)
  return Object.entries(value as object).map(([name, inner]) => [name, describe(inner, tensors)])
}

function write(
  recording: Recording,
  label: string,
  { ids, variableIds, body }: { ids: Ids; variableIds: Ids; body: () => Tree },
): Part {
  let results: Tree
  let resultIds: Ids = []
  const written = recording.define(label, ids, variableIds, () => {
    results = body()
    resultIds = nativeBackend().getInputTensorIds(leaves(results))
    return [...resultIds]
  })
  return { written, results, infos: resultIds.map(recording.infoOf) }
}

function call(
  recording: Recording,
  { written, results, infos }: Part,
  { ids, variableIds, awaited }: { ids: Ids; variableIds: Ids; awaited: string | undefined },
): Tree {
  const called = callOf(written, [...ids.map(recording.nameOf), ...variableIds.map(recording.handleOf)])
  const node = variableIds.length === 0 ? recording.addOnce(called, awaited) : recording.add(called)
  if (written.effects.length > 0) recording.effect(node)
  const tensors = infos.map((info, i) => recording.tensorOf(info, recording.outputOf(node, called.op, i)))
  return refilled(results, tensors)
}
