/** Shapes and data types of the outputs of ops, found without computing the ops on their real inputs. */
import { elementCount } from '../formats/dtypes.ts'
import type { TensorSpec } from './graph.ts'
import { type Binding, dtypeCodes, type OpAttribute, type OpOutput } from './native.ts'

type ShapeInference = (
  op: string,
  attributes: readonly OpAttribute[],
  inputs: readonly number[],
  outputs: number,
) => TensorSpec[]

/**
 * Returns a function that infers the specs of an op's outputs. Those of matrix products and elementwise ops follow from the specs of the inputs. Any other
 * op is run once on zeros for each signature: its attributes, the specs of its inputs and the values of small integer constants, which are shapes and
 * axes.
 * @param valuesOf the values of a constant; undefined for other tensors.
 */
export function createShapeInference(
  binding: Binding,
  specOf: (id: number) => TensorSpec,
  valuesOf: (id: number) => ArrayLike<number> | undefined,
): ShapeInference {
  const known = new Map<string, TensorSpec[]>()
  const runOnZeros: ShapeInference = (op, attributes, inputs, outputs) => {
    const created: number[] = []
    const ids = inputs.map((id) => {
      if (id >= 0 && specOf(id).dtype === dtypeCodes.int32) return id
      const zeros = createZeros(binding, specOf(id))
      created.push(zeros)
      return zeros
    })
    const results = binding.executeOp(op, attributes, ids, outputs)
    for (const id of [...created, ...results.map(({ id }) => id)]) binding.deleteTensor(id)
    return results.map(({ shape, dtype }: OpOutput) => ({ shape, dtype }))
  }
  return (op, attributes, inputs, outputs) => {
    const specs = inputs.map(specOf)
    const selected = op === 'Select' ? specs[1] : undefined // its condition would be zeros of bool, which only processors have
    const direct = selected ?? matMulSpec(op, attributes, specs) ?? elementwiseSpec(op, attributes, specs)
    if (direct) return [direct]
    const described = specs.map(({ shape, dtype }, i) => {
      const isSmall = dtype === dtypeCodes.int32 && elementCount(shape) <= 64
      const values = isSmall ? valuesOf(inputs[i] as number) : undefined
      return [shape, dtype, values && Array.from(values)]
    })
    const signature = JSON.stringify([op, attributes, described])
    const result = known.get(signature) ?? runOnZeros(op, attributes, inputs, outputs)
    known.set(signature, result)
    return result
  }
}

/** The product of two matrices, or of two stacks of as many; undefined for other ops and for stacks that are broadcast. */
function matMulSpec(op: string, attributes: readonly OpAttribute[], [a, b]: readonly TensorSpec[]) {
  const [flagA, flagB] = { MatMul: ['transpose_a', 'transpose_b'], BatchMatMulV2: ['adj_x', 'adj_y'] }[op] ?? []
  if (!flagA || !a || !b || a.shape.length !== b.shape.length) return undefined
  const batch = a.shape.slice(0, -2)
  if (batch.some((size, axis) => size !== b.shape[axis])) return undefined
  const isSet = (flag: string | undefined) => attributes.some(({ name, value }) => name === flag && value === true)
  const rows = a.shape.at(isSet(flagA) ? -1 : -2) as number
  const columns = b.shape.at(isSet(flagB) ? -2 : -1) as number
  return { shape: [...batch, rows, columns], dtype: a.dtype }
}

const elementwiseOps = new Set([
  ...['Cast', 'Exp', 'Identity', 'Neg', 'Reciprocal', 'Rsqrt', 'Sigmoid', 'Softmax', 'Sqrt', 'Square', 'Tanh'],
  ...['Add', 'AddV2', 'Maximum', 'Minimum', 'Mul', 'MulNoNan', 'RealDiv', 'Sub'],
])

function elementwiseSpec(op: string, attributes: readonly OpAttribute[], inputs: readonly TensorSpec[]) {
  const [first] = inputs
  if (!elementwiseOps.has(op) || !first) return undefined
  const target = attributes.find(({ name }) => name === 'DstT')?.value as number | undefined
  return { shape: broadcastShape(inputs.map(({ shape }) => shape)), dtype: target ?? first.dtype }
}

function broadcastShape(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map(({ length }) => length))
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1)
    return sizes.find((size) => size !== 1) ?? 1
  })
}

/** Ops that tfjs-node runs without their data type, which TensorFlow then infers. A node of a graph must have it. */
const untypedOps = new Set(['ExpandDims', 'Squeeze', 'ZerosLike', 'OnesLike', 'Where'])

/** The attributes of an op with the data type of its first input where it lacks one. */
export function withInferredType(
  op: string,
  attributes: readonly OpAttribute[],
  firstInput: TensorSpec | undefined,
  binding: Binding,
): OpAttribute[] {
  const given = attributes.filter(({ value }) => value !== undefined && value !== null)
  if (!untypedOps.has(op) || !firstInput || given.some(({ name }) => name === 'T')) return given
  return [...given, { name: 'T', type: binding.TF_ATTR_TYPE, value: firstInput.dtype }]
}

/** The spec of an existing tensor, read from the output of `Identity`, which copies nothing. */
export function readTensorSpec(binding: Binding, id: number): TensorSpec {
  for (const dtype of Object.values(dtypeCodes))
    try {
      const [output] = binding.executeOp('Identity', [{ name: 'T', type: binding.TF_ATTR_TYPE, value: dtype }], [id], 1)
      if (!output) break
      binding.deleteTensor(output.id)
      return { shape: output.shape, dtype: output.dtype }
    } catch {
      // the tensor has another data type
    }
  throw new Error('a captured tensor has a data type that is not supported')
}

/** `Empty` fills its output with zeros where it is asked to. */
function createZeros(binding: Binding, { shape, dtype }: TensorSpec): number {
  const sizes = binding.createTensor([shape.length], dtypeCodes.int32, Int32Array.from(shape))
  const attributes = [
    { name: 'dtype', type: binding.TF_ATTR_TYPE, value: dtype },
    { name: 'init', type: binding.TF_ATTR_BOOL, value: true },
  ]
  const [zeros] = binding.executeOp('Empty', attributes, [sizes], 1)
  binding.deleteTensor(sizes)
  return (zeros as OpOutput).id
}
