/**
 * The recording of a function of tensors as a graph. While it runs, tfjs-node's binding is replaced by one that adds a node for each op instead of
 * computing it: the outputs are placeholders, tensors without values.
 */
import type * as tf from '@tensorflow/tfjs'
import {
  type ConstantValue,
  constantNode,
  createScope,
  dtypeAttribute,
  fitsGraph,
  type GraphFunction,
  type GraphNode,
  outputName,
  type TensorSpec,
} from './graph.ts'
import {
  type Binding,
  copyBinding,
  type NativeBackend,
  type OpAttribute,
  type OpOutput,
  tensorFromOutput,
} from './native.ts'
import { createShapeInference, readTensorSpec, withInferredType } from './shapes.ts'

/** An existing tensor that the graph uses without it being an input. */
export type CapturedTensor = TensorSpec & { id: number }

/** Tensors are ids; names are those of nodes and of their outputs in the scope that is being recorded, the graph or a function of it. */
export type Recording = {
  /** The nodes of the graph itself, without those of its functions. */
  readonly nodes: GraphNode[]
  readonly functions: GraphFunction[]
  /** By the name of the node that reads them. */
  readonly capturedTensors: Map<string, CapturedTensor>
  /** Names of the graph's nodes that change state and must run even if no output depends on them. */
  readonly sideEffects: string[]
  /** Adds a node. @returns its name. */
  add(node: Omit<GraphNode, 'name'> & { name?: string }): string
  /** The same, unless an equal node was added before. @param controlInput a node that must run before a new one. @returns the name of either. */
  addOnce(node: Omit<GraphNode, 'name'>, controlInput?: string): string
  /** Makes a node run in every run of the graph, or in every call of the function. */
  addSideEffect(node: string): void
  /** A placeholder for an output of a node. */
  tensorForOutput(spec: TensorSpec, outputName: string): tf.Tensor
  /** A placeholder for a variable. @param handle the name of the handle that it is read from. @returns the placeholder's id. */
  addVariablePlaceholder(spec: TensorSpec, outputName: string, handle: string): number
  /** The name of a node's output. */
  outputName(node: string, op: string, output?: number): string
  /** The name of the output that a tensor is. A tensor that exists is captured. */
  outputNameOf(id: number): string
  /** The name of the node that a tensor is an output of. */
  nodeNameOf(id: number): string
  /** The name of a variable's handle. @throws Error where the variable was not passed to the function being recorded. */
  handleNameOf(id: number): string
  specOf(id: number): TensorSpec
  /**
   * Records a function of the graph. It may use only its inputs and variables.
   * @param inputs tensors that are passed by value. @param variables tensors of variables, which the function may also update.
   * @param body returns the tensors that are the function's outputs.
   */
  defineFunction(
    label: string,
    inputs: readonly number[],
    variables: readonly number[],
    body: () => number[],
  ): GraphFunction
  /** Restores the binding. Captured tensors exist until `release`. */
  stop(): void
  /** Deletes the tensors whose deletion was requested during the recording. */
  release(): void
}

let current: Recording | undefined

/** The recording in progress, for ops that a graph needs in another form; undefined where there is none. */
export const currentRecording = () => current

/** @throws Error while another recording is in progress. */
export function startRecording(backend: NativeBackend): Recording {
  if (current) throw new Error('a function is being recorded already')
  const { binding } = backend
  const graph = createScope(false)
  let scope = graph
  const functions: GraphFunction[] = []
  const capturedTensors = new Map<string, CapturedTensor>()
  const specs = new Map<number, TensorSpec>()
  const constants = new Map<number, ConstantValue>()
  const pendingDeletes = new Set<number>()
  let nextPlaceholder = -2 // tfjs-node uses −1 for tensors that are not uploaded yet, and deletes no negative ids

  const add: Recording['add'] = (node) => {
    const name = node.name ?? `n${scope.nodes.length}`
    scope.nodes.push({ ...node, name })
    return name
  }
  const addShared = (key: string, node: Omit<GraphNode, 'name'>) => {
    const name = scope.sharedNodes.get(key) ?? add(node)
    scope.sharedNodes.set(key, name)
    return name
  }
  const addOnce: Recording['addOnce'] = (node, controlInput) => {
    const controlInputs = controlInput === undefined ? [] : [`^${controlInput}`]
    const key = JSON.stringify([node.op, node.inputs, node.attributes])
    return addShared(key, { ...node, inputs: [...node.inputs, ...controlInputs] })
  }
  const addPlaceholder = ({ shape, dtype }: TensorSpec, output: string) => {
    const id = nextPlaceholder--
    scope.outputNames.set(id, output)
    specs.set(id, { shape, dtype })
    return id
  }
  const scopedOutputName: Recording['outputName'] = (name, op, output = 0) =>
    outputName({ name, op }, output, scope.isFunction)

  const outputNameOf = (id: number): string => {
    const name = scope.outputNames.get(id) ?? readVariable(id) ?? useExisting(id)
    scope.outputNames.set(id, name)
    return name
  }
  /** A function gets the handle of a variable, and reads its value where it is used. */
  const readVariable = (id: number) => {
    const handle = scope.handleNames.get(id)
    if (handle === undefined) return undefined
    const op = 'ReadVariableOp'
    return scopedOutputName(add({ op, inputs: [handle], attributes: [dtypeAttribute('dtype', specOf(id).dtype)] }), op)
  }
  const useExisting = (id: number): string => {
    const constant = constants.get(id)
    const isInScope = !scope.isFunction || scope.ownConstants.has(id)
    if (constant && isInScope && fitsGraph(constant)) return addConstant(constant)
    if (scope.isFunction) throw new Error('a function of the graph uses a tensor that is not one of its inputs')
    const name = `captured${capturedTensors.size}`
    capturedTensors.set(name, { id, ...specOf(id) })
    return name
  }
  const addConstant = (constant: ConstantValue) => {
    const { shape, dtype, values } = constant
    const key = `${dtype} [${shape}] ${Array.from(values as Float32Array)}`
    return scopedOutputName(addShared(key, constantNode(constant)), 'Const')
  }
  const specOf = (id: number) => {
    const spec = specs.get(id) ?? constants.get(id) ?? readTensorSpec(binding, id)
    specs.set(id, spec)
    return spec
  }

  const inferSpecs = createShapeInference(
    binding,
    specOf,
    (id) => constants.get(id)?.values as ArrayLike<number> | undefined,
  )
  backend.binding = {
    ...copyBinding(binding),
    createTensor: (shape: readonly number[], dtype: number, values: unknown) => {
      const id = binding.createTensor(shape, dtype, values)
      constants.set(id, { shape: [...shape], dtype, values })
      scope.ownConstants.add(id)
      return id
    },
    deleteTensor: (id: number) => {
      if (id >= 0) pendingDeletes.add(id)
    },
    executeOp: (op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number) => {
      const typed = withInferredType(op, attributes, inputs[0] === undefined ? undefined : specOf(inputs[0]), binding)
      const specs = inferSpecs(op, typed, inputs, outputs)
      const name = add({ op, inputs: inputs.map(outputNameOf), attributes: typed })
      return specs.map((spec, i): OpOutput => {
        return { id: addPlaceholder(spec, scopedOutputName(name, op, i)), shape: [...spec.shape], dtype: spec.dtype }
      })
    },
    tensorDataSync: (id: number) => {
      if (id < 0) throw new Error('a captured function cannot read the values of tensors')
      return binding.tensorDataSync(id)
    },
  } satisfies Binding

  const defineFunction: Recording['defineFunction'] = (label, inputs, variables, body) => {
    const outer = scope
    const inner = createScope(true)
    scope = inner
    try {
      const values = inputs.map((id, i) => ({ name: `input${i}`, id, dtype: specOf(id).dtype }))
      for (const { name, id } of values) inner.outputNames.set(id, name)
      const handles = variables.map((id, i) => ({ name: `variable${i}`, id, dtype: resourceDtype }))
      for (const { name, id } of handles) inner.handleNames.set(id, name)
      const results = body()
      const defined: GraphFunction = {
        name: `${label}_${functions.length}`,
        inputs: [...values, ...handles],
        outputs: results.map((id, i) => ({ name: `output${i}`, dtype: specOf(id).dtype, from: outputNameOf(id) })),
        ...{ nodes: inner.nodes, sideEffects: inner.sideEffects },
      }
      functions.push(defined)
      return defined
    } finally {
      scope = outer
    }
  }

  current = {
    ...{ nodes: graph.nodes, functions, sideEffects: graph.sideEffects, capturedTensors },
    ...{ add, addOnce, outputName: scopedOutputName, outputNameOf, specOf, defineFunction },
    addSideEffect: (node) => {
      scope.sideEffects.push(node)
    },
    tensorForOutput: (spec, output) =>
      tensorFromOutput({ id: addPlaceholder(spec, output), ...spec, shape: [...spec.shape] }),
    addVariablePlaceholder: (spec, output, handle) => {
      const id = addPlaceholder(spec, output)
      scope.handleNames.set(id, handle)
      return id
    },
    nodeNameOf: (id) => outputNameOf(id).split(':')[0] as string,
    handleNameOf: (id) => {
      const handle = scope.handleNames.get(id)
      if (handle === undefined)
        throw new Error('a function of the graph updates a variable that is not one of its variables')
      return handle
    },
    stop: () => {
      backend.binding = binding
      current = undefined
    },
    release: () => {
      for (const id of pendingDeletes) binding.deleteTensor(id)
      pendingDeletes.clear()
    },
  }
  return current
}

/** TensorFlow's code for the handle of a variable, DT_RESOURCE. */
const resourceDtype = 20
