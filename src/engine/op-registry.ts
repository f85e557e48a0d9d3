/** TensorFlow's registry of ops, which has the names of their outputs. Functions refer to an output by its name. */
import protobuf from 'protobufjs'
import type { GraphNode } from './graph.ts'
import type { FunctionBinding } from './native.ts'

/**
 * The name by which other nodes of a function use an output of a node: `node:name:index`. Some names stand for a list of outputs; the index counts
 * within it.
 * @throws Error for an op that TensorFlow does not have.
 */
export function outputName(binding: FunctionBinding, node: GraphNode, output: number): string {
  const registered = registryOf(binding).get(node.op)
  if (registered === undefined) throw new Error(`this TensorFlow has no op ${node.op}`)
  let index = output
  for (const { name, number_attr, type_list_attr } of registered) {
    const count = number_attr || type_list_attr ? listLength(node, number_attr || type_list_attr) : 1
    if (index < count) return `${node.name}:${name}:${index}`
    index -= count
  }
  throw new Error(`${node.op} has no output ${output}`)
}

/** The length that an attribute gives: a number, or a list of data types. */
function listLength({ op, attributes }: GraphNode, attribute: string): number {
  const value = attributes.find(({ name }) => name === attribute)?.value
  if (Array.isArray(value)) return value.length
  if (typeof value === 'number') return value
  throw new Error(`a node ${op} lacks its attribute ${attribute}`)
}

/** An output of an op. One with an attribute is a list, as long as the attribute says. */
type OutputArgument = { name: string; number_attr: string; type_list_attr: string }

/** The outputs of each op. */
type Registry = Map<string, OutputArgument[]>

/** The registry does not change while the process runs. */
const registries = new WeakMap<FunctionBinding, Registry>()

function registryOf(binding: FunctionBinding): Registry {
  const registry = registries.get(binding) ?? decodeRegistry(binding.getAllOps())
  registries.set(binding, registry)
  return registry
}

/** The fields that are used here, from tensorflow/core/framework/op_def.proto. */
const definitions = `
  syntax = "proto3";
  message OpList { repeated OpDef op = 1; }
  message OpDef { string name = 1; repeated ArgDef output_arg = 3; }
  message ArgDef { string name = 1; string number_attr = 5; string type_list_attr = 6; }
`

const listType = protobuf.parse(definitions, { keepCase: true }).root.lookupType('OpList')

function decodeRegistry(bytes: Uint8Array): Registry {
  const { op } = listType.toObject(listType.decode(bytes), { arrays: true, defaults: true })
  return new Map(op.map(({ name, output_arg }: { name: string; output_arg: OutputArgument[] }) => [name, output_arg]))
}
