/** The parts of a TensorFlow graph: nodes, functions that are called from several places in it, and the scopes that both are added to. */
import { elementCount } from '../formats/dtypes.ts'
import { dtypeCodes, type OpAttribute } from './native.ts'

/** The inputs are names of outputs; `^name` is a control input, a node that must run before. */
export type GraphNode = { name: string; op: string; inputs: string[]; attributes: OpAttribute[] }

/** A function of the graph. TensorFlow prepares its nodes once, however often it is called. */
export type GraphFunction = {
  name: string
  inputs: readonly FunctionArgument[]
  /** `from` is the output of a node of the function. */
  outputs: readonly (FunctionArgument & { from: string })[]
  nodes: readonly GraphNode[]
  /** Names of the nodes that must run even if no output depends on them. */
  sideEffects: readonly string[]
}

type FunctionArgument = { name: string; dtype: number }

/** A tensor's shape and TensorFlow's code for its data type. */
export type TensorSpec = { shape: readonly number[]; dtype: number }

export type ConstantValue = TensorSpec & { values: unknown }

/** Kinds of attributes, besides those that the binding has a code for. */
export const attributeKinds = { type: -1, shape: -2, tensor: -3, string: -4, function: -5 } as const

/** @param value one code of a data type or several. */
export const dtypeAttribute = (name: string, value: number | readonly number[]): OpAttribute => ({
  name,
  type: attributeKinds.type,
  value,
})

/** The attributes of a node whose output has this shape and data type. */
export const specAttributes = ({ shape, dtype }: TensorSpec): OpAttribute[] => [
  dtypeAttribute('dtype', dtype),
  { name: 'shape', type: attributeKinds.shape, value: shape },
]

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

export const placeholderNode = (name: string, spec: TensorSpec): GraphNode => ({
  ...{ name, op: 'Placeholder', inputs: [] },
  attributes: specAttributes(spec),
})

/** A node that calls the function. @param args names of outputs, one for each input of the function. */
export function callNode(
  { name, inputs, outputs, sideEffects }: GraphFunction,
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

/**
 * The name by which other nodes use an output. In the graph itself it is `node` or `node:index`; in a function it also has the name of the output in
 * TensorFlow's registry of ops, and the index counts within that name.
 * @throws Error for an op in a function whose output names are not in the table below.
 */
export function outputName({ name, op }: Pick<GraphNode, 'name' | 'op'>, output: number, inFunction: boolean): string {
  if (!inFunction) return output === 0 ? name : `${name}:${output}`
  const registered = outputNamesOfOps[op]
  if (registered === undefined)
    throw new Error(`a function of the graph cannot use ${op}: the name of its output is unknown`)
  return `${name}:${registered}:${output}`
}

/** From TensorFlow's registry of ops, those that the gradients and updates of this project use. */
const outputNamesOfOps: { [op: string]: string } = {
  ...withOutput('z', 'Add AddV2 Maximum Minimum Mul MulNoNan Pow RealDiv SquaredDifference Sub'),
  ...withOutput('y', 'Cast Erf Exp IsFinite Log Neg OnesLike Reciprocal Rsqrt Sigmoid Sqrt Square Tanh'),
  ...withOutput('y', 'Transpose ZerosLike'),
  ...withOutput('output', 'BatchMatMulV2 BiasAdd ConcatV2 Const ExpandDims Fill GatherV2 Identity L2Loss Max Mean'),
  ...withOutput('output', 'Min Pack PadV2 PartitionedCall Reshape SelectV2 Slice Split SplitV Squeeze'),
  ...withOutput('output', 'StatefulPartitionedCall StridedSlice Sum Tile Unpack'),
  ...{ AddN: 'sum', MatMul: 'product', ReadVariableOp: 'value', Softmax: 'softmax' },
}

function withOutput(output: string, ops: string) {
  return Object.fromEntries(ops.split(' ').map((op) => [op, output]))
}

/** The graph itself, or one of its functions, while its nodes are added. Tensors are ids, as in tfjs-node's binding. */
export type GraphScope = {
  isFunction: boolean
  nodes: GraphNode[]
  /** Names of the nodes that must run even if no output depends on them. */
  sideEffects: string[]
  /** By tensor: the name of the output that it is in this scope. */
  outputNames: Map<number, string>
  /** By the tensor of a variable: the name of the handle that it is read from and written to. */
  handleNames: Map<number, string>
  /** Names of nodes that need to be added only once, by what they compute. Constants among them: the same axes and shapes occur in every block. */
  sharedNodes: Map<string, string>
  /** The constants that were created in this scope. */
  ownConstants: Set<number>
}

export const createScope = (isFunction: boolean): GraphScope => ({
  ...{ isFunction, nodes: [], sideEffects: [], outputNames: new Map(), handleNames: new Map() },
  ...{ sharedNodes: new Map(), ownConstants: new Set() },
})
