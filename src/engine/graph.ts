/** The parts of a TensorFlow graph: nodes, functions of them, and the scopes that nodes are added to. */
import { elementCount } from '../formats/dtypes.ts'
import { dtypeCodes, type OpAttribute } from './native.ts'

/** The inputs are names of outputs; `^name` is a control input, a node that must run before. */
export type GraphNode = { name: string; op: string; inputs: string[]; attributes: OpAttribute[] }

/** TensorFlow prepares the nodes of a function once, however often it is called. */
export type FunctionDefinition = {
  name: string
  inputs: readonly FunctionArgument[]
  /** `from` is the output of a node of the function. */
  outputs: readonly (FunctionArgument & { from: string })[]
  nodes: readonly GraphNode[]
  /** Names of the nodes that must run even if no output depends on them. */
  sideEffects: readonly string[]
}

/** The shape, where it is known, helps TensorFlow to optimize the function. */
export type FunctionArgument = { name: string; dtype: number; shape?: readonly number[] }

/** A tensor's shape and TensorFlow's code for its data type. */
export type TensorSpec = { shape: readonly number[]; dtype: number }

export type ConstantValue = TensorSpec & { values: unknown }

/** Kinds of attributes, besides those that the binding has a code for. */
export const attributeKinds = { type: -1, tensor: -2, function: -3 } as const

/** @param value one code of a data type or several. */
export const dtypeAttribute = (name: string, value: number | readonly number[]): OpAttribute => ({
  name,
  type: attributeKinds.type,
  value,
})

export const constantNode = (constant: ConstantValue): Omit<GraphNode, 'name'> => ({
  op: 'Const',
  inputs: [],
  attributes: [
    dtypeAttribute('dtype', constant.dtype),
    { name: 'value', type: attributeKinds.tensor, value: constant },
  ],
})

/** Whether a constant becomes a node of the graph. Integers always do: they are shapes, axes and indices, which a GPU reads from host memory. */
export function fitsGraph({ shape, dtype }: ConstantValue) {
  if (dtype === dtypeCodes.int32) return true
  return (dtype === dtypeCodes.float32 || dtype === dtypeCodes.bool) && elementCount(shape) <= maxConstantElements
}

const maxConstantElements = 1024

/** A node that calls the function. @param args names of outputs, one for each input of the function. */
export function callNode(
  { name, inputs, outputs, sideEffects }: FunctionDefinition,
  args: string[],
): Omit<GraphNode, 'name'> {
  const dtypes = (name: string, list: readonly FunctionArgument[]) =>
    dtypeAttribute(
      name,
      list.map(({ dtype }) => dtype),
    )
  return {
    op: sideEffects.length > 0 ? 'StatefulPartitionedCall' : 'PartitionedCall',
    inputs: args,
    attributes: [
      dtypes('Tin', inputs),
      dtypes('Tout', outputs),
      { name: 'f', type: attributeKinds.function, value: name },
    ],
  }
}

/** A function while its nodes are added. Tensors are ids, as in tfjs-node's binding. */
export type GraphScope = {
  inputs: FunctionArgument[]
  /** By name. */
  nodes: Map<string, GraphNode>
  /** Names of the nodes that must run even if no output depends on them. */
  sideEffects: string[]
  /** By tensor: the name of the output, or of the input, that it is in this scope. */
  outputNames: Map<number, string>
  /** By the tensor of a variable: the name of the handle that it is read from and written to. */
  handleNames: Map<number, string>
  /** Names of nodes that need to be added only once, by what they compute. Constants among them: the same axes and shapes occur in every block. */
  sharedNodes: Map<string, string>
  /** The constants that were created in this scope. */
  ownConstants: Set<number>
}

export const createScope = (): GraphScope => ({
  ...{ inputs: [], nodes: new Map(), sideEffects: [], outputNames: new Map(), handleNames: new Map() },
  ...{ sharedNodes: new Map(), ownConstants: new Set() },
})
