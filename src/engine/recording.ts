/**
 * Watching a function of tensors as it talks to tfjs-node, and writing its ops down as the nodes of a graph. Nothing is computed: ops on tensors
 * that do not exist give tensors that do not exist. What shape an op's outputs have is learned by running it once on zeros, so that a model of 48
 * equal blocks costs no more than one of them.
 */
import { type Binding, dataTypes, type NativeBackend, type OpAttribute, type OpOutput } from './native.ts'

export type GraphNode = { name: string; op: string; inputs: string[]; attributes: OpAttribute[] }

/** A live tensor that the graph closes over. */
export type Resident = { id: number; shape: readonly number[]; dtype: number }

type Constant = { shape: readonly number[]; dtype: number; values: unknown }

export type Recording = {
  readonly nodes: GraphNode[]
  /** By the name of the node that reads it. */
  readonly residents: Map<string, Resident>
  /** A tensor that does not exist: the output of a node written from outside. */
  standIn(output: { name: string; shape: readonly number[]; dtype: number }): number
  /** A node that no op of TensorFlow.js makes. Inputs are names of outputs; `^name` waits for a node. */
  add(node: Omit<GraphNode, 'name'> & { name?: string }): string
  /** Nodes that change state: a run must wait for them even where no output needs them. */
  readonly effects: string[]
  /** The output's name of a tensor, real or not. */
  nameOf(id: number): string
  /** Puts the binding back. Live tensors stay until `release`. */
  stop(): void
  /** Deletes the tensors that were made, or whose deletion was asked for, while recording. */
  release(): void
}

/** Numbers up to so many are written into the graph itself. */
const maxConstantElements = 1024

let current: Recording | undefined

/** The recording under way, for ops that are written differently in a graph. */
export const currentRecording = () => current

export function startRecording(backend: NativeBackend): Recording {
  if (current) throw new Error('a recording is under way')
  const real = backend.binding
  const nodes: GraphNode[] = []
  const effects: string[] = []
  const names = new Map<number, string>()
  const infos = new Map<number, { shape: readonly number[]; dtype: number }>()
  const constants = new Map<number, Constant>()
  const constantNames = new Map<string, string>()
  const residents = new Map<string, Resident>()
  const doomed = new Set<number>()
  let nextStandIn = -2 // tfjs-node takes −1 for "not yet in TensorFlow", and deletes no negative one

  const add: Recording['add'] = (node) => {
    const name = node.name ?? `n${nodes.length}`
    nodes.push({ ...node, name })
    return name
  }
  const standIn: Recording['standIn'] = ({ name, shape, dtype }) => {
    const id = nextStandIn--
    names.set(id, name)
    infos.set(id, { shape, dtype })
    return id
  }
  const nameOf = (id: number): string => names.get(id) ?? nameOfReal(id)
  const nameOfReal = (id: number) => {
    const constant = constants.get(id)
    const isSmall = constant && fitsGraph(constant)
    const name = isSmall ? nameOfConstant(constant) : `resident${residents.size}`
    if (!isSmall) residents.set(name, { id, ...infoOf(id) })
    names.set(id, name)
    return name
  }
  /** The same axes and shapes occur in every block. */
  const nameOfConstant = (constant: Constant) => {
    const { shape, dtype, values } = constant
    const key = `${dtype} [${shape}] ${Array.from(values as Float32Array)}`
    const name = constantNames.get(key) ?? add(constantNode(constant))
    constantNames.set(key, name)
    return name
  }
  const infoOf = (id: number) => {
    const info = infos.get(id) ?? constants.get(id) ?? shapeOfReal(real, id)
    infos.set(id, info)
    return info
  }

  const learned = shapeLearner(real, infoOf, constants)
  const recorder: Binding = {
    ...membersOf(real),
    createTensor: (shape: readonly number[], dtype: number, values: unknown) => {
      const id = real.createTensor(shape, dtype, values)
      constants.set(id, { shape: [...shape], dtype, values })
      return id
    },
    deleteTensor: (id: number) => {
      if (id >= 0) doomed.add(id)
    },
    executeOp: (op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number) => {
      const inferred = withType(op, attributes, inputs[0] === undefined ? undefined : infoOf(inputs[0]), real)
      const shapes = learned(op, inferred, inputs, outputs)
      const name = add({ op, inputs: inputs.map(nameOf), attributes: inferred })
      return shapes.map(({ shape, dtype }, i) => ({
        id: standIn({ name: i === 0 ? name : `${name}:${i}`, shape, dtype }),
        shape: [...shape],
        dtype,
      }))
    },
    tensorDataSync: (id: number) => {
      if (id < 0) throw new Error('a captured function may not look at values')
      return real.tensorDataSync(id)
    },
  }
  backend.binding = recorder
  current = {
    nodes,
    effects,
    residents,
    standIn,
    add,
    nameOf,
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

/** The addon's members are not enumerable, and cannot be inherited: they are read-only. */
const membersOf = (binding: Binding) =>
  Object.fromEntries(
    Object.getOwnPropertyNames(binding).map((name) => [name, binding[name as keyof Binding]]),
  ) as unknown as Binding

const elements = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)

/** Integers are shapes, axes and indices, which a GPU wants in ordinary memory. */
function fitsGraph({ shape, dtype }: Constant) {
  if (dtype === dataTypes.int32) return true
  return (dtype === dataTypes.float32 || dtype === dataTypes.bool) && elements(shape) <= maxConstantElements
}

export const constantNode = ({
  shape,
  dtype,
  values,
}: {
  shape: readonly number[]
  dtype: number
  values: unknown
}) => ({
  op: 'Const',
  inputs: [] as string[],
  attributes: [
    { name: 'dtype', type: attributeKinds.type, value: dtype },
    { name: 'value', type: attributeKinds.tensor, value: { shape, dtype, values } },
  ],
})

/** Kinds that the binding itself has no number for, and one that it has. */
export const attributeKinds = { type: -1, shape: -2, tensor: -3, string: -4 } as const

/** Ops that tfjs-node sends without their type, which TensorFlow infers when it runs them at once; a graph wants it written. */
const untyped = new Set(['ExpandDims', 'Squeeze', 'ZerosLike', 'OnesLike', 'Where'])

function withType(
  op: string,
  attributes: readonly OpAttribute[],
  first: { dtype: number } | undefined,
  binding: Binding,
): OpAttribute[] {
  const given = attributes.filter(({ value }) => value !== undefined && value !== null)
  if (!untyped.has(op) || !first || given.some(({ name }) => name === 'T')) return given
  return [...given, { name: 'T', type: binding.TF_ATTR_TYPE, value: first.dtype }]
}

/** The shape and type of a tensor made before the recording: a copy without cost says them. */
function shapeOfReal(binding: Binding, id: number) {
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

/** Runs an op on zeros the first time its signature occurs. Small constants are part of the signature: they are shapes and axes. */
function shapeLearner(
  real: Binding,
  infoOf: (id: number) => { shape: readonly number[]; dtype: number },
  constants: ReadonlyMap<number, { shape: readonly number[]; values: unknown }>,
) {
  const known = new Map<string, { shape: readonly number[]; dtype: number }[]>()
  return (op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number) => {
    const isSmallConstant = (id: number) => elements(constants.get(id)?.shape ?? [Number.POSITIVE_INFINITY]) <= 64
    const signature = JSON.stringify([
      op,
      attributes,
      inputs.map((id) => {
        const { shape, dtype } = infoOf(id)
        const values = dtype === dataTypes.int32 && isSmallConstant(id) ? constants.get(id)?.values : undefined
        return [shape, dtype, values && Array.from(values as Int32Array)]
      }),
    ])
    const before = known.get(signature)
    if (before) return before
    const made: number[] = []
    const stood = inputs.map((id) => {
      if (id >= 0 && infoOf(id).dtype === dataTypes.int32) return id
      const zeros = zerosOf(real, infoOf(id))
      made.push(zeros)
      return zeros
    })
    const results = real.executeOp(op, attributes, stood, outputs)
    for (const id of [...made, ...results.map(({ id }) => id)]) real.deleteTensor(id)
    const learned = results.map(({ shape, dtype }: OpOutput) => ({ shape, dtype }))
    known.set(signature, learned)
    return learned
  }
}

function zerosOf(binding: Binding, { shape, dtype }: { shape: readonly number[]; dtype: number }): number {
  const sizes = binding.createTensor([shape.length], dataTypes.int32, Int32Array.from(shape))
  const attributes = [
    { name: 'dtype', type: binding.TF_ATTR_TYPE, value: dtype },
    { name: 'init', type: binding.TF_ATTR_BOOL, value: true },
  ]
  const [zeros] = binding.executeOp('Empty', attributes, [sizes], 1)
  binding.deleteTensor(sizes)
  return (zeros as OpOutput).id
}
