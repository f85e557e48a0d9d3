/** A graph as it is written down: nodes, and functions that are called from several places in it. */
import { elementCount } from '../formats/dtypes.ts'
import { dataTypes, type OpAttribute } from './native.ts'

/** Inputs are names of outputs; `^name` waits for a node. */
export type GraphNode = { name: string; op: string; inputs: string[]; attributes: OpAttribute[] }

/** Nodes that stand for many: TensorFlow prepares them once, however often they are called. */
export type GraphFunction = {
  name: string
  inputs: readonly Port[]
  outputs: readonly (Port & { from: string })[]
  nodes: readonly GraphNode[]
  /** Nodes that must run though no output needs them. */
  effects: readonly string[]
}

type Port = { name: string; dtype: number }

/** Kinds of attributes that the binding itself has no number for, and some that it has. */
export const attributeKinds = { type: -1, shape: -2, tensor: -3, string: -4, function: -5 } as const

export const typed = (name: string, value: number | readonly number[]): OpAttribute => ({
  name,
  type: attributeKinds.type,
  value,
})

export type ConstantValue = { shape: readonly number[]; dtype: number; values: unknown }

export const constantNode = (constant: ConstantValue) => ({
  op: 'Const',
  inputs: [] as string[],
  attributes: [typed('dtype', constant.dtype), { name: 'value', type: attributeKinds.tensor, value: constant }],
})

/** Numbers up to so many are written into the graph itself. */
const maxConstantElements = 1024

/** Integers are shapes, axes and indices, which a GPU wants in ordinary memory. */
export function fitsGraph({ shape, dtype }: ConstantValue) {
  if (dtype === dataTypes.int32) return true
  return (dtype === dataTypes.float32 || dtype === dataTypes.bool) && elementCount(shape) <= maxConstantElements
}

type Held = { shape: readonly number[]; dtype: number }

/** The attributes of a node that a tensor of this kind comes from. */
export const holding = ({ shape, dtype }: Held): OpAttribute[] => [
  typed('dtype', dtype),
  { name: 'shape', type: attributeKinds.shape, value: shape },
]

export const placeholderNode = (name: string, held: Held): GraphNode => ({
  ...{ name, op: 'Placeholder', inputs: [] },
  attributes: holding(held),
})

/** A node that calls the function. @param given names of outputs, one for each of its inputs. */
export function callOf({ name, inputs, outputs, effects }: GraphFunction, given: string[]): Omit<GraphNode, 'name'> {
  const types = (name: string, ports: readonly Port[]) =>
    typed(
      name,
      ports.map(({ dtype }) => dtype),
    )
  return {
    op: effects.length > 0 ? 'StatefulPartitionedCall' : 'PartitionedCall',
    inputs: given,
    attributes: [
      types('Tin', inputs),
      types('Tout', outputs),
      { name: 'f', type: attributeKinds.function, value: name },
    ],
  }
}

/**
 * What an output is called where it is used. The graph itself numbers them; a function also wants the name that TensorFlow's registry of ops gives
 * them, and counts within that name.
 */
export function outputName({ name, op }: Pick<GraphNode, 'name' | 'op'>, output: number, inFunction: boolean): string {
  if (!inFunction) return output === 0 ? name : `${name}:${output}`
  const registered = namesOfOutputs[op]
  if (registered === undefined) throw new Error(`the outputs of ${op} have no name here: a function cannot hold it`)
  return `${name}:${registered}:${output}`
}

/** From TensorFlow's registry of ops, those that our own gradients and updates use. */
const namesOfOutputs: { [op: string]: string } = {
  ...named('z', 'Add AddV2 Maximum Minimum Mul MulNoNan Pow RealDiv SquaredDifference Sub'),
  ...named('y', 'Cast Erf Exp IsFinite Log Neg OnesLike Reciprocal Rsqrt Sigmoid Sqrt Square Tanh Transpose ZerosLike'),
  ...named('output', 'BatchMatMulV2 BiasAdd ConcatV2 Const ExpandDims Fill GatherV2 Identity L2Loss Max Mean Min Pack'),
  ...named('output', 'PadV2 PartitionedCall Reshape SelectV2 Slice Split SplitV Squeeze StatefulPartitionedCall'),
  ...named('output', 'StridedSlice Sum Tile Unpack'),
  ...{ AddN: 'sum', MatMul: 'product', ReadVariableOp: 'value', Softmax: 'softmax' },
}

function named(output: string, ops: string) {
  return Object.fromEntries(ops.split(' ').map((op) => [op, output]))
}

/** Where nodes are written while a function of tensors is recorded: the graph itself, or one of its functions. */

export type Scope = {
  isFunction: boolean
  nodes: GraphNode[]
  /** Nodes that must run though no output needs them. */
  effects: string[]
  /** What tensors are called here, by their ids. */
  names: Map<number, string>
  /** What the variables among them are read from and written to. */
  handles: Map<number, string>
  /** Names of nodes that were added once, by what they do. Among them are constants: the same axes and shapes occur in every block. */
  once: Map<string, string>
  /** Ids of the constants that were made here. */
  own: Set<number>
}

export const openScope = (isFunction: boolean): Scope => ({
  ...{ isFunction, nodes: [], effects: [] },
  ...{ names: new Map(), handles: new Map(), once: new Map(), own: new Set() },
})
