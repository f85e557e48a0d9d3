/**
 * Parts of a captured function that occur again and again with other weights, such as a block and its gradient. Each is recorded once as a function of
 * its own and then called: TensorFlow prepares it once, and frees its intermediate results when the call returns.
 */
import * as tf from '@tensorflow/tfjs'
import { callNode, type FunctionDefinition, type TensorSpec } from './graph.ts'
import { nativeBackend, nativeDtypeOf } from './native.ts'
import { currentRecording, type Recording } from './recording.ts'
import { flattenTree, type TensorTree, unflattenTree } from './tensor-tree.ts'

export type GraphFunctionOptions = {
  /** Everything that the body uses: nested objects of tensors, and the numbers and booleans that decide what it computes. */
  inputs: object
  /** The variables that the body changes with `updateInPlace`. */
  variables?: readonly tf.Variable[]
  /** A tensor that the graph computes before the call. Without it TensorFlow starts every call as soon as it can, and holds all results at once. */
  after?: tf.Tensor
}

/**
 * Runs the body. While a function is being captured, it records the body as a function of the graph, or reuses an equal one, and adds a call. A call
 * with the same tensors as an earlier one is not added again, unless it has variables. The result has no gradient: use it in custom gradients.
 * @param label what the body computes; two bodies need two labels.
 * @throws Error where the body uses a tensor or updates a variable that it was not given.
 */
export function graphFunction<R extends TensorTree>(
  label: string,
  { inputs, variables = [], after }: GraphFunctionOptions,
  body: () => R,
): R {
  const recording = currentRecording()
  if (!recording) return body()
  const tensors: tf.Tensor[] = []
  const description = describe(inputs, tensors)
  const backend = nativeBackend()
  const [ids, variableIds] = [backend.getInputTensorIds(tensors), backend.getInputTensorIds(variables)]
  const signature = JSON.stringify([
    ...[label, description, describe(variables, [])],
    [ids, variableIds].map((list) => list.map((id) => list.indexOf(id))), // a function recorded with one tensor passed twice does not distinguish the two inputs
  ])
  const known = recordedFunctionsOf(recording)
  const recorded = known.get(signature) ?? record(recording, label, { ids, variableIds, body })
  known.set(signature, recorded)
  const controlInputs = after ? recording.controlInputsOf(backend.getInputTensorIds([after])[0] as number) : []
  return call(recording, recorded, { ids, variableIds, controlInputs }) as R
}

type Ids = readonly number[]

/** `results` has the structure of what the body returned, `specs` the specs of its tensors. */
type RecordedFunction = { definition: FunctionDefinition; results: TensorTree; specs: TensorSpec[] }

const recordedFunctions = new WeakMap<Recording, Map<string, RecordedFunction>>()

function recordedFunctionsOf(recording: Recording): Map<string, RecordedFunction> {
  const known = recordedFunctions.get(recording) ?? new Map<string, RecordedFunction>()
  recordedFunctions.set(recording, known)
  return known
}

/** Appends the tensors to a list, and describes everything else that decides what is computed. Strings, which are names, do not. */
function describe(value: unknown, tensors: tf.Tensor[]): unknown {
  if (value === undefined || typeof value === 'string') return null
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (value instanceof tf.Tensor) {
    tensors.push(value)
    return `${nativeDtypeOf(value)} ${value.shape}`
  }
  if (typeof value !== 'object') throw new Error(`a ${typeof value} cannot be an input of a function of the graph`)
  return Object.entries(value as object).map(([name, inner]) => [name, describe(inner, tensors)])
}

function record(
  recording: Recording,
  label: string,
  { ids, variableIds, body }: { ids: Ids; variableIds: Ids; body: () => TensorTree },
): RecordedFunction {
  let results: TensorTree
  let resultIds: Ids = []
  const definition = recording.defineFunction(label, ids, variableIds, () => {
    results = body()
    resultIds = nativeBackend().getInputTensorIds(flattenTree(results))
    return [...resultIds]
  })
  return { definition, results, specs: resultIds.map(recording.specOf) }
}

function call(
  recording: Recording,
  { definition, results, specs }: RecordedFunction,
  { ids, variableIds, controlInputs }: { ids: Ids; variableIds: Ids; controlInputs: readonly string[] },
): TensorTree {
  const args = [...ids.map(recording.outputNameOf), ...variableIds.map(recording.handleNameOf)]
  const node = callNode(definition, args)
  const name = variableIds.length === 0 ? recording.addOnce(node, controlInputs) : recording.add(node)
  if (definition.sideEffects.length > 0) recording.addSideEffect(name)
  const tensors = specs.map((spec, i) => recording.tensorForOutput(spec, recording.outputName(name, i)))
  return unflattenTree(results, tensors)
}
