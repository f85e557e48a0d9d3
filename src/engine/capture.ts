/**
 * Captured functions. A function of named tensors runs op by op on every backend; native TensorFlow records it once for each set of input shapes, and
 * then runs it as one graph: without JavaScript between the ops, and optimized as a whole. All graphs share the tensors that they use.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as tf from '@tensorflow/tfjs'
import { addContextFunction } from './context-function.ts'
import {
  dtypeCodes,
  type FunctionBinding,
  hasFunctions,
  isNative,
  nativeBackend,
  nativeDtypeOf,
  type OpOutput,
  tensorFromOutput,
} from './native.ts'
import { type CapturedTensor, type Recording, refuseDuringRecording, startRecording } from './recording.ts'
import { replaceByPlaceholder, type SharedVariable, shareVariable } from './shared-variable.ts'

export type NamedTensors = Record<string, tf.Tensor>

export type CapturedFunction<I extends NamedTensors, O extends NamedTensors> = {
  /** The caller owns the outputs. */
  run(inputs: I): O
  /** Removes the graphs. */
  dispose(): void
}

export type CaptureOptions = {
  /**
   * The float32 variables that the function reads or assigns. Several captured functions may share a variable. Every other tensor that it uses, besides
   * its inputs, is a constant.
   */
  variables?: readonly tf.Variable[]
  /** How many graphs are kept. The least recently used one is dropped first. */
  maxGraphs?: number
}

/** Whether captured functions run as graphs: on native TensorFlow with the addon of `ltx-a2a setup-tensorflow`. Elsewhere they run op by op. */
export const capturesGraphs = () => isNative() && hasFunctions(nativeBackend().binding)

/**
 * @param body a pure function of its inputs and the variables. Whatever differs from call to call, such as random numbers or a learning rate, must be
 *   an input, and the body must not read the values of tensors.
 */
export function capture<I extends NamedTensors, O extends NamedTensors>(
  body: (inputs: I) => O,
  { variables = [], maxGraphs = 64 }: CaptureOptions = {},
): CapturedFunction<I, O> {
  if (!capturesGraphs()) return { run: (inputs) => tf.tidy(() => body(inputs)), dispose: () => undefined }
  const graphs = new Map<string, CapturedGraph>()
  let shared: SharedVariable[] = []
  return {
    run: (inputs) => {
      refuseDuringRecording()
      if (shared.length === 0) shared = variables.map(shareVariable)
      const handles = shared.map((variable) => variable.handle())
      const key = JSON.stringify(
        Object.entries(inputs).map(([name, input]) => [name, nativeDtypeOf(input), input.shape]),
      )
      const graph = graphs.get(key) ?? captureGraph(body as never, inputs, variables)
      graphs.delete(key)
      graphs.set(key, graph)
      const [oldest] = graphs.keys()
      if (graphs.size > maxGraphs && oldest !== undefined) {
        graphs.get(oldest)?.close()
        graphs.delete(oldest)
      }
      return graph.run(inputs, handles) as O
    },
    dispose: () => {
      for (const graph of graphs.values()) graph.close()
      graphs.clear()
      for (const variable of shared.splice(0)) variable.release()
    },
  }
}

/** @param handles of the variables. */
type CapturedGraph = { run(inputs: NamedTensors, handles: readonly number[]): NamedTensors; close(): void }

function captureGraph(
  body: (inputs: NamedTensors) => NamedTensors,
  examples: NamedTensors,
  variables: readonly tf.Variable[],
): CapturedGraph {
  const graph = recordGraph(body, examples, variables)
  collectGarbage() // the nodes, and the values of uploaded tensors
  return graph
}

/** TensorFlow has one list of functions for the whole process. */
let recordedGraphs = 0

/** @param examples inputs of the shapes that the graph is for. */
function recordGraph(
  body: (inputs: NamedTensors) => NamedTensors,
  examples: NamedTensors,
  variables: readonly tf.Variable[],
): CapturedGraph {
  const backend = nativeBackend()
  const binding = backend.binding as FunctionBinding
  const recording = startRecording(backend, binding, `captured${recordedGraphs++}`)
  try {
    const outputs = recordBody(recording, body, examples, variables)
    const main = recording.finish(outputs.map(({ id }) => id))
    const { run, remove } = addContextFunction(binding, main, recording.functions)
    const held = recording.capturedTensors.map((tensor) => holdTensor(binding, tensor))
    return {
      run: (inputs, handles) => {
        const results = run([...backend.getInputTensorIds(Object.values(inputs)), ...handles, ...held])
        return Object.fromEntries(outputs.map(({ name }, i) => [name, tensorFromOutput(results[i] as OpOutput)]))
      },
      close: () => {
        remove()
        for (const id of held) binding.deleteTensor(id)
      },
    }
  } finally {
    recording.release()
  }
}

/** Runs the body on placeholders. @returns the tensors that are its outputs. */
function recordBody(
  recording: Recording,
  body: (inputs: NamedTensors) => NamedTensors,
  examples: NamedTensors,
  variables: readonly tf.Variable[],
): { name: string; id: number }[] {
  const restorers: (() => void)[] = []
  try {
    const outputs = tf.tidy(() => {
      const inputs = Object.entries(examples).map(([name, example]) => [name, placeholder(recording, example)])
      restorers.push(...variables.map((variable) => replaceByPlaceholder(recording, variable)))
      const results = Object.entries(body(Object.fromEntries(inputs)))
      return results.map(([name, tensor]) => ({ name, id: nativeBackend().getInputTensorIds([tensor])[0] })) as never
    }) as { name: string; id: number }[]
    for (const restore of restorers.splice(0)) restore()
    return outputs
  } finally {
    for (const restore of restorers) restore()
    recording.stop()
  }
}

const placeholder = (recording: Recording, example: tf.Tensor) =>
  recording.addInput({ shape: example.shape, dtype: dtypeCodes[nativeDtypeOf(example)] })

/** A tensor that shares its memory with the captured one: whoever made that may dispose of it. */
function holdTensor(binding: FunctionBinding, { id, dtype }: CapturedTensor): number {
  const attributes = [{ name: 'T', type: binding.TF_ATTR_TYPE, value: dtype }]
  return (binding.executeOp('Identity', attributes, [id], 1)[0] as OpOutput).id
}

/**
 * Frees unreachable JavaScript objects now. V8 does not count the memory behind arrays, so gigabytes of tensor values can outlive their use. It takes
 * a moment.
 */
export function collectGarbage() {
  if (!gc) {
    setFlagsFromString('--expose-gc')
    gc = runInNewContext('gc') as () => void
  }
  gc()
}

let gc: (() => void) | undefined
