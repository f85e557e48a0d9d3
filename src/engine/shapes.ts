/** What shapes and types ops give, without computing what they compute. */
import { elementCount } from '../formats/dtypes.ts'
import { type Binding, dataTypes, type OpAttribute, type OpOutput } from './native.ts'

export type TensorInfo = { shape: readonly number[]; dtype: number }

/**
 * Runs an op on zeros the first time its signature occurs, but for those whose shapes are plain and whose time is not. Small constants are part of the
 * signature: they are shapes and axes.
 */
export function shapeLearner(
  real: Binding,
  infoOf: (id: number) => TensorInfo,
  valuesOf: (id: number) => ArrayLike<number> | undefined,
) {
  const known = new Map<string, TensorInfo[]>()
  const learn = (op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number) => {
    const made: number[] = []
    const stood = inputs.map((id) => {
      if (id >= 0 && infoOf(id).dtype === dataTypes.int32) return id
      const zeros = zerosOf(real, infoOf(id))
      made.push(zeros)
      return zeros
    })
    const results = real.executeOp(op, attributes, stood, outputs)
    for (const id of [...made, ...results.map(({ id }) => id)]) real.deleteTensor(id)
    return results.map(({ shape, dtype }: OpOutput) => ({ shape, dtype }))
  }
  return (op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number) => {
    const infos = inputs.map(infoOf)
    const plain = productInfo(op, attributes, infos) ?? elementwiseInfo(op, attributes, infos)
    if (plain) return [plain]
    const described = infos.map(({ shape, dtype }, i) => {
      const values = dtype === dataTypes.int32 && elementCount(shape) <= 64 ? valuesOf(inputs[i] as number) : undefined
      return [shape, dtype, values && Array.from(values)]
    })
    const signature = JSON.stringify([op, attributes, described])
    const learned = known.get(signature) ?? learn(op, attributes, inputs, outputs)
    known.set(signature, learned)
    return learned
  }
}

/** Of a product of two matrices, or of two stacks of as many. */
function productInfo(op: string, attributes: readonly OpAttribute[], [a, b]: readonly TensorInfo[]) {
  const [flagA, flagB] = { MatMul: ['transpose_a', 'transpose_b'], BatchMatMulV2: ['adj_x', 'adj_y'] }[op] ?? []
  if (!flagA || !a || !b || a.shape.length !== b.shape.length) return undefined
  const stack = a.shape.slice(0, -2)
  if (stack.some((size, axis) => size !== b.shape[axis])) return undefined
  const has = (flag: string | undefined) => attributes.some(({ name, value }) => name === flag && value === true)
  const rows = a.shape.at(has(flagA) ? -1 : -2) as number
  const columns = b.shape.at(has(flagB) ? -2 : -1) as number
  return { shape: [...stack, rows, columns], dtype: a.dtype }
}

/** Ops that tfjs-node sends without their type, which TensorFlow infers when it runs them at once; a graph wants it written. */
const untyped = new Set(['ExpandDims', 'Squeeze', 'ZerosLike', 'OnesLike', 'Where'])

export function withType(
  op: string,
  attributes: readonly OpAttribute[],
  first: TensorInfo | undefined,
  binding: Binding,
): OpAttribute[] {
  const given = attributes.filter(({ value }) => value !== undefined && value !== null)
  if (!untyped.has(op) || !first || given.some(({ name }) => name === 'T')) return given
  return [...given, { name: 'T', type: binding.TF_ATTR_TYPE, value: first.dtype }]
}

const elementwise = new Set([
  ...['Cast', 'Exp', 'Identity', 'Neg', 'Reciprocal', 'Rsqrt', 'Sigmoid', 'Softmax', 'Sqrt', 'Square', 'Tanh'],
  ...['Add', 'AddV2', 'Maximum', 'Minimum', 'Mul', 'MulNoNan', 'RealDiv', 'Sub'],
])

/** Of one tensor, or of two that are spread to one shape. */
function elementwiseInfo(op: string, attributes: readonly OpAttribute[], infos: readonly TensorInfo[]) {
  const [first] = infos
  if (!elementwise.has(op) || !first) return undefined
  const target = attributes.find(({ name }) => name === 'DstT')?.value as number | undefined
  return { shape: spreadShape(infos.map(({ shape }) => shape)), dtype: target ?? first.dtype }
}

function spreadShape(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map(({ length }) => length))
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1)
    return sizes.find((size) => size !== 1) ?? 1
  })
}

/** The shape and type of a tensor that is there: a copy without cost says them. */
export function infoOfReal(binding: Binding, id: number): TensorInfo {
  for (const dtype of Object.values(dataTypes))
    try {
      const [same] = binding.executeOp('Identity', [{ name: 'T', type: binding.TF_ATTR_TYPE, value: dtype }], [id], 1)
      if (!same) break
      binding.deleteTensor(same.id)
      return { shape: same.shape, dtype: same.dtype }
    } catch {
      // of another type
    }
  throw new Error('a captured tensor has a type that is not known here')
}

function zerosOf(binding: Binding, { shape, dtype }: TensorInfo): number {
  const sizes = binding.createTensor([shape.length], dataTypes.int32, Int32Array.from(shape))
  const attributes = [
    { name: 'dtype', type: binding.TF_ATTR_TYPE, value: dtype },
    { name: 'init', type: binding.TF_ATTR_BOOL, value: true },
  ]
  const [zeros] = binding.executeOp('Empty', attributes, [sizes], 1)
  binding.deleteTensor(sizes)
  return (zeros as OpOutput).id
}
