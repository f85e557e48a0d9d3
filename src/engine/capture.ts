/**
 * Captured functions. A function of named tensors runs op by op on every backend; native TensorFlow records it once for each set of input shapes, and
 * then runs it as one graph: without JavaScript between the ops, and optimized as a whole.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as tf from '@tensorflow/tfjs'
import { dtypeAttribute, placeholderNode } from './graph.ts'
import { dtypeCodes, isNative, nativeBackend, nativeDtypeOf, type OpOutput, tensorFromOutput } from './native.ts'
import { type Recording, startRecording } from './recording.ts'
import { openSession, type SessionVariable } from './session.ts'
import { bindPlaceholder, bindVariables } from './variable-binding.ts'

export type NamedTensors = Record<string, tf.Tensor>

export type CapturedFunction<I extends NamedTensors, O extends NamedTensors> = {
  /** The caller owns the outputs. */
  run(inputs: I): O
  /**
   * Frees the values of the variables until the next run, but keeps the graphs. Needed where other captured functions update the same variables:
   * TensorFlow would copy all of them, because two sessions share their memory.
   */
  release(): void
  /** Closes the sessions. The variables have their values again. */
  dispose(): void
}

export type CaptureOptions = {
  /** The variables that the function reads or assigns. Every other tensor that it uses, besides its inputs, is a constant. */
  variables?: readonly tf.Variable[]
  /** How many graphs are kept. The one that was not used for the longest time is dropped first. */
  maxGraphs?: number
}

/**
 * @param body a pure function of its inputs and the variables. Whatever differs from call to call, such as random numbers or a learning rate, must be
 *   an input, and the body must not read the values of tensors.
 */
export function capture<I extends NamedTensors, O extends NamedTensors>(
  body: (inputs: I) => O,
  { variables = [], maxGraphs = 4 }: CaptureOptions = {},
): CapturedFunction<I, O> {
  if (!isNative())
    return { run: (inputs) => tf.tidy(() => body(inputs)), release: () => undefined, dispose: () => undefined }
  const graphs = new Map<string, CapturedGraph>()
  return {
    run: (inputs) => {
      const key = JSON.stringify(Object.entries(inputs).map(([name, { shape, dtype }]) => [name, dtype, shape]))
      const graph = graphs.get(key) ?? captureGraph(body as never, inputs, variables)
      graphs.delete(key)
      graphs.set(key, graph)
      const [oldest] = graphs.keys()
      if (graphs.size > maxGraphs && oldest !== undefined) {
        graphs.get(oldest)?.close()
        graphs.delete(oldest)
      }
      return graph.run(inputs) as O
    },
    release: () => {
      for (const graph of graphs.values()) graph.release()
    },
    dispose: () => {
      for (const graph of graphs.values()) graph.close()
      graphs.clear()
    },
  }
}

type CapturedGraph = { run(inputs: NamedTensors): NamedTensors; release(): void; close(): void }

function captureGraph(
  body: (inputs: NamedTensors) => NamedTensors,
  examples: NamedTensors,
  variables: readonly tf.Variable[],
): CapturedGraph {
  const graph = recordGraph(body, examples, variables)
  collectGarbage() // the nodes, and the JavaScript copies of the values that the session has now
  return graph
}

/** @param examples inputs of the shapes that the graph is for. */
function recordGraph(
  body: (inputs: NamedTensors) => NamedTensors,
  examples: NamedTensors,
  variables: readonly tf.Variable[],
): CapturedGraph {
  const backend = nativeBackend()
  const recording = startRecording(backend)
  try {
    const sessionVariables = variables.map(({ shape }, i) => ({
      ...{ name: `state${i}`, shape, dtype: dtypeCodes.float32 },
    }))
    const outputs = recordBody(recording, body, examples, variables, sessionVariables)
    const session = openSession(backend.binding, recording, sessionVariables)
    const binding = bindVariables(backend, session, variables)
    const inputNodes = Object.keys(examples).map((_, i) => inputNode(i))
    return {
      run: (inputs) => {
        binding.bind()
        const ids = backend.getInputTensorIds(Object.values(inputs))
        const results = session.run(ids, inputNodes, [...outputs.values()])
        return Object.fromEntries(
          [...outputs.keys()].map((name, i) => [name, tensorFromOutput(results[i] as OpOutput)]),
        )
      },
      release: binding.release,
      close: () => {
        binding.syncBack()
        session.close()
      },
    }
  } finally {
    recording.release()
  }
}

/** Runs the body on placeholders. @returns the node of each output; it runs after all nodes that change state. */
function recordBody(
  recording: Recording,
  body: (inputs: NamedTensors) => NamedTensors,
  examples: NamedTensors,
  variables: readonly tf.Variable[],
  sessionVariables: readonly SessionVariable[],
): Map<string, string> {
  const backend = nativeBackend()
  const restorers = variables.map((variable, i) =>
    bindPlaceholder(recording, variable, sessionVariables[i] as SessionVariable),
  )
  try {
    const outputs = tf.tidy(() => {
      const inputs = Object.entries(examples).map(([name, example], i) => [name, placeholder(recording, i, example)])
      return Object.entries(body(Object.fromEntries(inputs))).map(([name, tensor]) => {
        const [id] = backend.getInputTensorIds([tensor])
        return { name, output: recording.outputNameOf(id as number), dtype: dtypeCodes[nativeDtypeOf(tensor)] }
      }) as never
    }) as { name: string; output: string; dtype: number }[]
    for (const restore of restorers.splice(0)) restore()
    const controlInputs = recording.sideEffects.map((node) => `^${node}`)
    return new Map(
      outputs.map(({ name, output, dtype }) => {
        const attributes = [dtypeAttribute('T', dtype)]
        return [name, recording.add({ op: 'Identity', inputs: [output, ...controlInputs], attributes })]
      }),
    )
  } finally {
    for (const restore of restorers) restore()
    recording.stop()
  }
}

const inputNode = (index: number) => `input${index}`

function placeholder(recording: Recording, index: number, example: tf.Tensor): tf.Tensor {
  const [name, spec] = [inputNode(index), { shape: example.shape, dtype: dtypeCodes[nativeDtypeOf(example)] }]
  recording.add(placeholderNode(name, spec))
  return recording.tensorForOutput(spec, name)
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
