/**
 * Watching a function of tensors as it talks to tfjs-node, and writing its ops down as the nodes of a graph. Nothing is computed: ops on tensors
 * that do not exist give tensors that do not exist.
 */
import type * as tf from '@tensorflow/tfjs'
import {
  type ConstantValue,
  constantNode,
  fitsGraph,
  type GraphFunction,
  type GraphNode,
  openScope,
  outputName,
  typed,
} from './graph.ts'
import { asTensor, type Binding, membersOf, type NativeBackend, type OpAttribute, type OpOutput } from './native.ts'
import { infoOfReal, shapeLearner, type TensorInfo, withType } from './shapes.ts'

/** A live tensor that the graph closes over. */
export type Resident = TensorInfo & { id: number }

export type Recording = {
  /** Those of the graph itself. */
  readonly nodes: GraphNode[]
  readonly functions: GraphFunction[]
  /** By the name of the node that reads it. */
  readonly residents: Map<string, Resident>
  /** Nodes that change state: a run must wait for them even where no output needs them. */
  readonly effects: string[]
  /** A node that no op of TensorFlow.js makes. */
  add(node: Omit<GraphNode, 'name'> & { name?: string }): string
  /** The same, or the node that was added so before and gives the same. @param awaited a node that a new one waits for. */
  addOnce(node: Omit<GraphNode, 'name'>, awaited?: string): string
  /** A tensor that does not exist: an output of a node. @param output its name. */
  tensorOf(info: TensorInfo, output: string): tf.Tensor
  /** The same for a variable, by its id, with what its node reads from. */
  variableStandIn(info: TensorInfo, output: string, handle: string): number
  /** What the node's output is called here, in the graph or in a function. */
  outputOf(node: string, op: string, output?: number): string
  /** A node that must run. */
  effect(node: string): void
  /** The output's name of a tensor, real or not. */
  nameOf(id: number): string
  /** The node that it is an output of. */
  nodeOf(id: number): string
  /** The name of what a variable is read from and written to. */
  handleOf(id: number): string
  infoOf(id: number): TensorInfo
  /**
   * Writes a function: what the body does, from the given tensors and nothing else.
   * @param given tensors whose values the function takes. @param variables tensors of variables, which it may also change. @returns ids of its outputs' tensors.
   */
  define(label: string, given: readonly number[], variables: readonly number[], body: () => number[]): GraphFunction
  /** Puts the binding back. Live tensors stay until `release`. */
  stop(): void
  /** Deletes the tensors that were made, or whose deletion was asked for, while recording. */
  release(): void
}

let current: Recording | undefined

/** The recording under way, for ops that are written differently in a graph. */
export const currentRecording = () => current

export function startRecording(backend: NativeBackend): Recording {
  if (current) throw new Error('a recording is under way')
  const real = backend.binding
  const graph = openScope(false)
  const functions: GraphFunction[] = []
  const residents = new Map<string, Resident>()
  const infos = new Map<number, TensorInfo>()
  const constants = new Map<number, ConstantValue>()
  const doomed = new Set<number>()
  let scope = graph
  let nextStandIn = -2 // tfjs-node takes −1 for "not yet in TensorFlow", and deletes no negative one

  const add: Recording['add'] = (node) => {
    const name = node.name ?? `n${scope.nodes.length}`
    scope.nodes.push({ ...node, name })
    return name
  }
  const addAs = (key: string, node: Omit<GraphNode, 'name'>) => {
    const name = scope.once.get(key) ?? add(node)
    scope.once.set(key, name)
    return name
  }
  const addOnce: Recording['addOnce'] = (node, awaited) => {
    const waits = awaited === undefined ? [] : [`^${awaited}`]
    return addAs(JSON.stringify([node.op, node.inputs, node.attributes]), {
      ...node,
      inputs: [...node.inputs, ...waits],
    })
  }
  const standIn = ({ shape, dtype }: TensorInfo, output: string) => {
    const id = nextStandIn--
    scope.names.set(id, output)
    infos.set(id, { shape, dtype })
    return id
  }
  const nameOf = (id: number): string => {
    const name = scope.names.get(id) ?? nameOfRead(id) ?? nameOfReal(id)
    scope.names.set(id, name)
    return name
  }
  /** A function is given the variable itself, and reads it where its value is used. */
  const nameOfRead = (id: number) => {
    const handle = scope.handles.get(id)
    if (handle === undefined) return undefined
    const op = 'ReadVariableOp'
    return outputOf(add({ op, inputs: [handle], attributes: [typed('dtype', infoOf(id).dtype)] }), op)
  }
  const nameOfReal = (id: number): string => {
    const constant = constants.get(id)
    const isKnown = !scope.isFunction || scope.own.has(id)
    if (constant && isKnown && fitsGraph(constant)) return nameOfConstant(constant)
    if (scope.isFunction) throw new Error('a function of the graph uses a tensor that it was not given')
    const name = `resident${residents.size}`
    residents.set(name, { id, ...infoOf(id) })
    return name
  }
  const nameOfConstant = (constant: ConstantValue) => {
    const { shape, dtype, values } = constant
    const key = `${dtype} [${shape}] ${Array.from(values as Float32Array)}`
    return outputOf(addAs(key, constantNode(constant)), 'Const')
  }
  const infoOf = (id: number) => {
    const info = infos.get(id) ?? constants.get(id) ?? infoOfReal(real, id)
    infos.set(id, info)
    return info
  }
  const outputOf: Recording['outputOf'] = (name, op, output = 0) => outputName({ name, op }, output, scope.isFunction)

  const learned = shapeLearner(real, infoOf, (id) => constants.get(id)?.values as ArrayLike<number> | undefined)
  const recorder: Binding = {
    ...membersOf(real),
    createTensor: (shape: readonly number[], dtype: number, values: unknown) => {
      const id = real.createTensor(shape, dtype, values)
      constants.set(id, { shape: [...shape], dtype, values })
      scope.own.add(id)
      return id
    },
    deleteTensor: (id: number) => {
      if (id >= 0) doomed.add(id)
    },
    executeOp: (op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number) => {
      const inferred = withType(op, attributes, inputs[0] === undefined ? undefined : infoOf(inputs[0]), real)
      const infos = learned(op, inferred, inputs, outputs)
      const name = add({ op, inputs: inputs.map(nameOf), attributes: inferred })
      return infos.map((info, i): OpOutput => {
        return { id: standIn(info, outputOf(name, op, i)), shape: [...info.shape], dtype: info.dtype }
      })
    },
    tensorDataSync: (id: number) => {
      if (id < 0) throw new Error('a captured function may not look at values')
      return real.tensorDataSync(id)
    },
  }
  backend.binding = recorder

  const define: Recording['define'] = (label, given, variables, body) => {
    const around = scope
    const inner = openScope(true)
    scope = inner
    try {
      const values = given.map((id, i) => ({ name: `given${i}`, id, dtype: infoOf(id).dtype }))
      for (const { name, id } of values) inner.names.set(id, name)
      const handles = variables.map((id, i) => ({ name: `variable${i}`, id, dtype: resourceType }))
      for (const { name, id } of handles) inner.handles.set(id, name)
      const results = body()
      const written: GraphFunction = {
        name: `${label}_${functions.length}`,
        inputs: [...values, ...handles],
        outputs: results.map((id, i) => ({ name: `result${i}`, dtype: infoOf(id).dtype, from: nameOf(id) })),
        ...{ nodes: inner.nodes, effects: inner.effects },
      }
      functions.push(written)
      return written
    } finally {
      scope = around
    }
  }

  current = {
    ...{ nodes: graph.nodes, functions, effects: graph.effects, residents },
    ...{ add, addOnce, outputOf, nameOf, infoOf, define },
    tensorOf: (info, output) => asTensor({ id: standIn(info, output), ...info, shape: [...info.shape] }),
    variableStandIn: (info, output, handle) => {
      const id = standIn(info, output)
      scope.handles.set(id, handle)
      return id
    },
    nodeOf: (id) => nameOf(id).split(':')[0] as string,
    effect: (node) => {
      scope.effects.push(node)
    },
    handleOf: (id) => {
      const handle = scope.handles.get(id)
      if (handle === undefined) throw new Error('a function of the graph changes a variable that it was not given')
      return handle
    },
    stop: () => {
      backend.binding = real
      current = undefined
    },
    release: () => {
      for (const id of doomed) real.deleteTensor(id)
      doomed.clear()
    },
  }
  return current
}

/** TensorFlow's number for the handle of a variable. */
const resourceType = 20
