/**
 * Capture and replay. A function of named tensors runs op by op everywhere; on native TensorFlow it is recorded once for every set of shapes, and
 * replayed as one graph with one call: no JavaScript between the ops, and TensorFlow's own optimiser over all of them.
 */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as tf from '@tensorflow/tfjs'
import { placeholderNode, typed } from './graph.ts'
import { asTensor, dataTypeOf, dataTypes, isNative, nativeBackend, type OpOutput } from './native.ts'
import { standIn } from './recorded-variables.ts'
import { type Recording, startRecording } from './recording.ts'
import { openSession, type Slot } from './session.ts'
import { borrow } from './variable-binding.ts'

export type NamedTensors = Record<string, tf.Tensor>

export type Captured<I extends NamedTensors, O extends NamedTensors> = {
  /** The outputs belong to the caller. */
  run(inputs: I): O
  /** Keeps what was captured, but none of the variables' values, until the next call: while others change them, they would be held twice. */
  rest(): void
  /** Ends the sessions; the variables hold their values again. */
  dispose(): void
}

export type CaptureOptions = {
  /** What the function may change, by `assign`. Every other tensor it closes over is taken as a constant. */
  variables?: readonly tf.Variable[]
  /** How many sets of shapes are kept; the one unused for longest goes first. */
  kept?: number
}

/**
 * @param body a pure function but for its variables: whatever differs from call to call (a random draw, a learning rate) must be an input, and it
 *   may not look at values.
 */
export function capture<I extends NamedTensors, O extends NamedTensors>(
  body: (inputs: I) => O,
  { variables = [], kept = 4 }: CaptureOptions = {},
): Captured<I, O> {
  if (!isNative())
    return { run: (inputs) => tf.tidy(() => body(inputs)), rest: () => undefined, dispose: () => undefined }
  const replays = new Map<string, Replay>()
  return {
    run: (inputs) => {
      const key = JSON.stringify(Object.entries(inputs).map(([name, { shape, dtype }]) => [name, dtype, shape]))
      const replay = replays.get(key) ?? recorded(body as never, inputs, variables)
      replays.delete(key)
      replays.set(key, replay)
      const [oldest] = replays.keys()
      if (replays.size > kept && oldest !== undefined) {
        replays.get(oldest)?.close()
        replays.delete(oldest)
      }
      return replay.run(inputs) as O
    },
    rest: () => {
      for (const replay of replays.values()) replay.rest()
    },
    dispose: () => {
      for (const replay of replays.values()) replay.close()
      replays.clear()
    },
  }
}

type Replay = { run(inputs: NamedTensors): NamedTensors; rest(): void; close(): void }

function recorded(...call: Parameters<typeof record>): Replay {
  const replay = record(...call)
  collectGarbage() // the nodes, and the first values of all that the session holds now
  return replay
}

function record(
  body: (inputs: NamedTensors) => NamedTensors,
  examples: NamedTensors,
  variables: readonly tf.Variable[],
): Replay {
  const backend = nativeBackend()
  const recording = startRecording(backend)
  try {
    const slots = variables.map(({ shape }, i) => ({ name: `state${i}`, shape, dtype: dataTypes.float32 }))
    const outputs = write(recording, body, examples, variables, slots)
    const session = openSession(backend.binding, recording, slots)
    const state = borrow(backend, session, variables)
    const inputNames = Object.keys(examples).map(inputNode)
    return {
      run: (inputs) => {
        state.take()
        const ids = backend.getInputTensorIds(Object.values(inputs))
        const results = session.run(ids, inputNames, [...outputs.values()])
        return Object.fromEntries([...outputs.keys()].map((name, i) => [name, asTensor(results[i] as OpOutput)]))
      },
      rest: state.rest,
      close: () => {
        state.giveBack()
        session.close()
      },
    }
  } finally {
    recording.release()
  }
}

/** Runs the body on tensors that stand for inputs and variables. @returns the node of each output, which waits for every change of state. */
function write(
  recording: Recording,
  body: (inputs: NamedTensors) => NamedTensors,
  examples: NamedTensors,
  variables: readonly tf.Variable[],
  slots: readonly Slot[],
): Map<string, string> {
  const backend = nativeBackend()
  const restore = variables.map((variable, i) => standIn(recording, variable, slots[i] as Slot))
  try {
    const outputs = tf.tidy(() => {
      const inputs = Object.entries(examples).map(([name, example]) => [name, placeholder(recording, name, example)])
      return Object.entries(body(Object.fromEntries(inputs))).map(([name, tensor]) => {
        const [id] = backend.getInputTensorIds([tensor])
        return { name, node: recording.nameOf(id as number), dtype: dataTypes[dataTypeOf(tensor)] }
      }) as never
    }) as { name: string; node: string; dtype: number }[]
    for (const put of restore.splice(0)) put()
    const effects = recording.effects.map((node) => `^${node}`)
    return new Map(
      outputs.map(({ name, node, dtype }) => {
        return [name, recording.add({ op: 'Identity', inputs: [node, ...effects], attributes: [typed('T', dtype)] })]
      }),
    )
  } finally {
    for (const put of restore) put()
    recording.stop()
  }
}

const inputNode = (name: string) => `input/${name}`

function placeholder(recording: Recording, input: string, example: tf.Tensor): tf.Tensor {
  const [name, shape, dtype] = [inputNode(input), example.shape, dataTypes[dataTypeOf(example)]]
  recording.add(placeholderNode(name, { shape, dtype }))
  return recording.tensorOf({ shape, dtype }, name)
}

/** V8 counts what it holds itself, not what waits behind it in arrays: gigabytes of tensors' first values can outlive their use. */

let collect: (() => void) | undefined

/** Frees what JavaScript no longer reaches. Takes a moment: for the rare times when much has been handed over. */
export function collectGarbage() {
  if (!collect) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  collect()
}
