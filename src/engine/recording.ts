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
  type FunctionArgument,
  type FunctionDefinition,
  fitsGraph,
  type GraphNode,
  type TensorSpec,
} from './graph.ts'
import {
  type Binding,
  copyBinding,
  type FunctionBinding,
  type NativeBackend,
  type OpAttribute,
  type OpOutput,
  tensorFromOutput,
} from './native.ts'
import { outputName } from './op-registry.ts'
import { createShapeInference, readTensorSpec, withInferredType } from './shapes.ts'

/** An existing tensor that the graph uses without it being an input. */
export type CapturedTensor = TensorSpec & { id: number }

/** Tensors are ids; names are those of nodes and of their outputs in the function that is being recorded, the captured one or one that it calls. */
export type Recording = {
  /** The nodes of the captured function itself, without those of the functions that it calls. */
  readonly nodes: readonly GraphNode[]
  /** The functions that it calls. */
  readonly functions: readonly FunctionDefinition[]
  /** Existing tensors that the body uses. The recorded function takes them as additional inputs, last, in this order. */
  readonly capturedTensors: readonly CapturedTensor[]
  /** Adds an input to the captured function. @returns its placeholder. */
  addInput(spec: TensorSpec): tf.Tensor
  /** Adds a variable, which is an input too: its handle. @returns the id of the placeholder for its value. */
  addVariable(spec: TensorSpec): number
  /** The captured function. @param outputs tensors. */
  finish(outputs: readonly number[]): FunctionDefinition
  /** Adds a node. @returns its name. */
  add(node: NewNode): string
  /** The same, unless an equal node was added before. @param controlInputs what must run before a new one. @returns the name of either. */
  addOnce(node: NewNode, controlInputs?: readonly string[]): string
  /** Makes a node run in every call of the function. */
  addSideEffect(node: string): void
  /** A placeholder for an output of a node. */
  tensorForOutput(spec: TensorSpec, outputName: string): tf.Tensor
  /** The name of a node's output. */
  outputName(node: string, output?: number): string
  /** The name of the output that a tensor is. A tensor that exists is captured. */
  outputNameOf(id: number): string
  /** What makes a node wait for a tensor: nothing where the tensor is an input. */
  controlInputsOf(id: number): string[]
  /** The name of a variable's handle. @throws Error where the variable was not passed to the function being recorded. */
  handleNameOf(id: number): string
  specOf(id: number): TensorSpec
  /**
   * Records a function that is called. It may use only its inputs and variables.
   * @param inputs tensors that are passed by value. @param variables tensors of variables, which the function may also update.
   * @param body returns the tensors that are the function's outputs.
   */
  defineFunction(
    label: string,
    inputs: readonly number[],
    variables: readonly number[],
    body: () => readonly number[],
  ): FunctionDefinition
  /** Restores the binding. Captured tensors exist until `release`. */
  stop(): void
  /** Deletes the tensors whose deletion was requested during the recording. */
  release(): void
}

type NewNode = Omit<GraphNode, 'name'>

let current: Recording | undefined

/** The recording in progress, for code that adds other nodes to a graph than it would run eagerly; undefined where there is none. */
export const currentRecording = () => current

/**
 * @param name of the captured function. The functions that it calls have names that start with it.
 * @throws Error while another recording is in progress.
 */
export function startRecording(backend: NativeBackend, binding: FunctionBinding, name: string): Recording {
  refuseDuringRecording()
  const main = createScope()
  let scope = main
  const functions: FunctionDefinition[] = []
  const capturedTensors: CapturedTensor[] = []
  const specs = new Map<number, TensorSpec>()
  const constants = new Map<number, ConstantValue>()
  const pendingDeletes = new Set<number>()
  let nextPlaceholder = -2 // tfjs-node uses −1 for tensors that are not uploaded yet, and deletes no negative ids

  const add: Recording['add'] = (node) => {
    const name = `n${scope.nodes.size}`
    scope.nodes.set(name, { ...node, name })
    return name
  }
  const addShared = (key: string, node: NewNode) => {
    const name = scope.sharedNodes.get(key) ?? add(node)
    scope.sharedNodes.set(key, name)
    return name
  }
  const addOnce: Recording['addOnce'] = (node, controlInputs = []) => {
    const key = JSON.stringify([node.op, node.inputs, node.attributes])
    return addShared(key, { ...node, inputs: [...node.inputs, ...controlInputs] })
  }
  const addPlaceholder = ({ shape, dtype }: TensorSpec, output: string) => {
    const id = nextPlaceholder--
    scope.outputNames.set(id, output)
    specs.set(id, { shape, dtype })
    return id
  }
  const addArgument = (kind: string, { dtype, shape }: Omit<FunctionArgument, 'name'>) => {
    const name = `${kind}${scope.inputs.length}`
    scope.inputs.push({ name, dtype, ...(shape && { shape }) })
    return name
  }
  const nameOfOutput: Recording['outputName'] = (node, output = 0) =>
    outputName(binding, scope.nodes.get(node) as GraphNode, output)

  const outputNameOf = (id: number): string => {
    const name = scope.outputNames.get(id) ?? readVariable(id) ?? useExisting(id)
    scope.outputNames.set(id, name)
    return name
  }
  /** A variable is its handle until its value is used. */
  const readVariable = (id: number) => {
    const handle = scope.handleNames.get(id)
    if (handle === undefined) return undefined
    const attributes = [dtypeAttribute('dtype', specOf(id).dtype)]
    return nameOfOutput(add({ op: 'ReadVariableOp', inputs: [handle], attributes }))
  }
  const useExisting = (id: number): string => {
    const constant = constants.get(id)
    const isInScope = scope === main || scope.ownConstants.has(id)
    if (constant && isInScope && fitsGraph(constant)) return addConstant(constant)
    if (scope !== main) throw new Error('a function of the graph uses a tensor that is not one of its inputs')
    const tensor = { id, ...specOf(id) }
    capturedTensors.push(tensor)
    return addArgument('captured', tensor)
  }
  const addConstant = (constant: ConstantValue) => {
    const { shape, dtype, values } = constant
    const key = `${dtype} [${shape}] ${Array.from(values as Float32Array)}`
    return nameOfOutput(addShared(key, constantNode(constant)))
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
        return { id: addPlaceholder(spec, nameOfOutput(name, i)), shape: [...spec.shape], dtype: spec.dtype }
      })
    },
    tensorDataSync: (id: number) => {
      if (id < 0) throw new Error('a captured function cannot read the values of tensors')
      return binding.tensorDataSync(id)
    },
  } satisfies Binding

  /** The function in the current scope. */
  const functionOf = (name: string, outputs: readonly number[]): FunctionDefinition => {
    const { inputs, nodes, sideEffects } = scope
    const results = outputs.map((id, i) => ({ name: `output${i}`, dtype: specOf(id).dtype, from: outputNameOf(id) }))
    return { name, inputs, outputs: results, nodes: [...nodes.values()], sideEffects }
  }
  const defineFunction: Recording['defineFunction'] = (label, inputs, variables, body) => {
    const outer = scope
    scope = createScope()
    try {
      // without their shapes, which change the last digits but save no time
      for (const id of inputs) scope.outputNames.set(id, addArgument('input', { dtype: specOf(id).dtype }))
      for (const id of variables) scope.handleNames.set(id, addArgument('variable', { dtype: resourceDtype }))
      const defined = functionOf(`${name}_${label}_${functions.length}`, body())
      functions.push(defined)
      return defined
    } finally {
      scope = outer
    }
  }

  current = {
    get nodes() {
      return [...main.nodes.values()]
    },
    ...{ functions, capturedTensors, add, addOnce, outputName: nameOfOutput, outputNameOf, specOf, defineFunction },
    addInput: (spec) => tensorOf(addPlaceholder(spec, addArgument('input', spec)), spec),
    addVariable: (spec) => {
      const id = nextPlaceholder--
      specs.set(id, spec)
      scope.handleNames.set(id, addArgument('variable', { dtype: resourceDtype }))
      return id
    },
    finish: (outputs) => functionOf(name, outputs),
    addSideEffect: (node) => {
      scope.sideEffects.push(node)
    },
    tensorForOutput: (spec, output) => tensorOf(addPlaceholder(spec, output), spec),
    controlInputsOf: (id) => {
      const [node, ...output] = outputNameOf(id).split(':')
      return output.length === 0 ? [] : [`^${node}`]
    },
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

/** @throws Error while a function is recorded: a captured function cannot run inside another one. */
export function refuseDuringRecording() {
  if (current) throw new Error('a function is being recorded already')
}

const tensorOf = (id: number, { shape, dtype }: TensorSpec) => tensorFromOutput({ id, shape: [...shape], dtype })

/** TensorFlow's code for the handle of a variable, DT_RESOURCE. */
const resourceDtype = 20
