/**
 * A recorded graph in a TensorFlow session. Captured tensors and trained variables are variables of the session, which are set once; a run passes only
 * inputs and outputs. The graph is passed in TensorFlow's SavedModel format, the only one from which tfjs-node creates a session.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import protobuf from 'protobufjs'
import {
  attributeKinds,
  type ConstantValue,
  constantNode,
  dtypeAttribute,
  type GraphFunction,
  type GraphNode,
  placeholderNode,
  specAttributes,
  type TensorSpec,
} from './graph.ts'
import { type Binding, dtypeCodes, type OpAttribute, type OpOutput } from './native.ts'
import type { Recording } from './recording.ts'

/** A variable of the session; its name is that of the node that reads it. */
export type SessionVariable = TensorSpec & { name: string }

export type Session = {
  run(inputs: readonly number[], inputNames: readonly string[], outputNames: readonly string[]): OpOutput[]
  /** Sets all variables. */
  setVariables(ids: readonly number[]): void
  /** The values of the variables, as tensors of their own. On a CPU they share memory with the session until it changes them. */
  getVariables(): OpOutput[]
  /** Frees the values of the variables. They must be set before the next run. */
  clearVariables(): void
  close(): void
}

/** Loads the graph and sets its captured tensors. @param variables those that the graph updates. */
export function openSession(binding: Binding, recording: Recording, variables: readonly SessionVariable[]): Session {
  const captured = [...recording.capturedTensors].map(([name, { shape, dtype }]) => ({ name, shape, dtype }))
  const nodes = [
    ...recording.nodes,
    ...variableNodes(captured, 'captured'),
    ...variableNodes(variables, 'variables'),
    ...clearNodes(variables),
  ]
  const session = loadGraph(binding, encodeSavedModel(nodes, recording.functions, binding))
  const run: Session['run'] = (inputs, inputNames, outputNames) =>
    binding.runSavedModel(session, inputs, inputNames.map(withIndex).join(), outputNames.map(withIndex).join())
  const runNode = (node: string, ids: readonly number[] = [], inputNames: readonly string[] = []) => {
    for (const { id } of run(ids, inputNames, [node])) binding.deleteTensor(id)
  }
  const setGroup = (list: readonly SessionVariable[], group: string, ids: readonly number[]) => {
    if (list.length === 0) return
    const names = list.map(({ name }) => `${name}/value`)
    runNode(`${group}/set`, ids, names)
  }
  const capturedIds = [...recording.capturedTensors.values()].map(({ id }) => id)
  setGroup(captured, 'captured', capturedIds)
  const names = variables.map(({ name }) => name)
  return {
    run,
    setVariables: (ids) => setGroup(variables, 'variables', ids),
    getVariables: () => (names.length === 0 ? [] : run([], [], names)),
    clearVariables: () => {
      if (names.length > 0) runNode('variables/clear')
    },
    close: () => binding.deleteSavedModel(session),
  }
}

/** The name of the node that gives a variable's handle. */
export const handleNodeOf = (variable: string) => `${variable}/handle`

/** The nodes that read and set each variable, and `<group>/set`, which sets all of them. */
function variableNodes(variables: readonly SessionVariable[], group: string): GraphNode[] {
  const nodes = variables.flatMap((variable): GraphNode[] => {
    const { name } = variable
    const handle = handleNodeOf(name)
    const attributes = [dtypeAttribute('dtype', variable.dtype)]
    const sharedName = { name: 'shared_name', type: attributeKinds.string, value: name }
    return [
      { name: handle, op: 'VarHandleOp', inputs: [], attributes: [...specAttributes(variable), sharedName] },
      { name, op: 'ReadVariableOp', inputs: [handle], attributes },
      placeholderNode(`${name}/value`, variable),
      { name: `${name}/set`, op: 'AssignVariableOp', inputs: [handle, `${name}/value`], attributes },
    ]
  })
  const setNodes = variables.map(({ name }) => `${name}/set`)
  return [...nodes, nodeAfter(`${group}/set`, setNodes)]
}

/** The nodes that free each variable, and `variables/clear`, which frees all of them. */
function clearNodes(variables: readonly SessionVariable[]): GraphNode[] {
  const nodes = variables.map(({ name }): GraphNode => {
    return { name: `${name}/clear`, op: 'DestroyResourceOp', inputs: [handleNodeOf(name)], attributes: [] }
  })
  const clearNames = nodes.map(({ name }) => name)
  return [...nodes, nodeAfter('variables/clear', clearNames)]
}

/** A constant that is computed after the other nodes: running it runs them. */
const nodeAfter = (name: string, others: readonly string[]): GraphNode => ({
  ...constantNode({ shape: [], dtype: dtypeCodes.int32, values: Int32Array.of(others.length) }),
  name,
  inputs: others.map((other) => `^${other}`),
})

/** `n3` is short for `n3:0`, its first output. */
const withIndex = (output: string) => (output.includes(':') ? output : `${output}:0`)

function loadGraph(binding: Binding, savedModel: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-graph-'))
  try {
    writeFileSync(join(folder, 'saved_model.pb'), savedModel)
    return binding.loadSavedModel(folder, servingTag)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The messages and fields that are used here, from TensorFlow's definitions (tensorflow/core/framework and tensorflow/core/protobuf). */
const definitions = `
  syntax = "proto3";
  message SavedModel { int64 saved_model_schema_version = 1; repeated MetaGraphDef meta_graphs = 2; }
  message MetaGraphDef { MetaInfoDef meta_info_def = 1; GraphDef graph_def = 2; }
  message MetaInfoDef { repeated string tags = 4; }
  message GraphDef { repeated NodeDef node = 1; FunctionDefLibrary library = 2; VersionDef versions = 4; }
  message FunctionDefLibrary { repeated FunctionDef function = 1; }
  message FunctionDef {
    OpDef signature = 1; repeated NodeDef node_def = 3; map<string, string> ret = 4; map<string, AttrValue> attr = 5;
    map<string, string> control_ret = 6;
  }
  message OpDef {
    string name = 1; repeated ArgDef input_arg = 2; repeated ArgDef output_arg = 3; bool is_stateful = 17;
    repeated string control_output = 20;
  }
  message ArgDef { string name = 1; int32 type = 3; }
  message VersionDef { int32 producer = 1; }
  message NodeDef { string name = 1; string op = 2; repeated string input = 3; map<string, AttrValue> attr = 5; }
  message AttrValue {
    oneof value {
      ListValue list = 1; bytes s = 2; int64 i = 3; float f = 4; bool b = 5; int32 type = 6; TensorShape shape = 7;
      TensorProto tensor = 8; NameAttrList func = 10;
    }
  }
  message NameAttrList { string name = 1; }
  message ListValue { repeated bytes s = 2; repeated int64 i = 3; repeated float f = 4; repeated bool b = 5; repeated int32 type = 6; }
  message TensorShape { repeated Dim dim = 2; }
  message Dim { int64 size = 1; }
  message TensorProto { int32 dtype = 1; TensorShape tensor_shape = 2; bytes tensor_content = 4; }
`

const savedModelType = protobuf.parse(definitions, { keepCase: true }).root.lookupType('SavedModel')

/** The tag by which the graph is found in the SavedModel. */
const servingTag = 'serve'

/** The version of graph definitions that TensorFlow 2 writes. */
const graphVersion = 1500

function encodeSavedModel(
  nodes: readonly GraphNode[],
  functions: readonly GraphFunction[],
  binding: Binding,
): Uint8Array {
  const graph = {
    node: nodes.map((node) => nodeDef(node, binding)),
    library: { function: functions.map((definition) => functionDef(definition, binding)) },
    versions: { producer: graphVersion },
  }
  const message = {
    saved_model_schema_version: 1,
    meta_graphs: [{ meta_info_def: { tags: [servingTag] }, graph_def: graph }],
  }
  return savedModelType.encode(message).finish()
}

const nodeDef = ({ name, op, inputs, attributes }: GraphNode, binding: Binding) => ({
  name,
  op,
  input: inputs,
  attr: Object.fromEntries(attributes.map((attribute) => [attribute.name, attributeValue(attribute, binding)])),
})

/** `_noinline` keeps TensorFlow from copying the function into its callers, where it would be prepared once per call. */
const functionDef = ({ name, inputs, outputs, nodes, sideEffects }: GraphFunction, binding: Binding) => ({
  signature: {
    name,
    input_arg: inputs.map(({ name, dtype }) => ({ name, type: dtype })),
    output_arg: outputs.map(({ name, dtype }) => ({ name, type: dtype })),
    is_stateful: sideEffects.length > 0,
    control_output: sideEffects,
  },
  node_def: nodes.map((node) => nodeDef(node, binding)),
  ret: Object.fromEntries(outputs.map(({ name, from }) => [name, from])),
  attr: { _noinline: { b: true } },
  control_ret: Object.fromEntries(sideEffects.map((node) => [node, node])),
})

function attributeValue({ name, type, value }: OpAttribute, binding: Binding): object {
  const fields: [kind: number, field: string][] = [
    [binding.TF_ATTR_STRING, 's'],
    [binding.TF_ATTR_INT, 'i'],
    [binding.TF_ATTR_FLOAT, 'f'],
    [binding.TF_ATTR_BOOL, 'b'],
    [binding.TF_ATTR_TYPE, 'type'],
  ]
  const field = fields.find(([kind]) => kind === type)?.[1]
  const encode = (item: unknown) => (field === 's' ? Buffer.from(item as string) : item)
  if (field) return Array.isArray(value) ? { list: { [field]: value.map(encode) } } : { [field]: encode(value) }
  if (type === attributeKinds.type) return Array.isArray(value) ? { list: { type: value } } : { type: value }
  if (type === attributeKinds.function) return { func: { name: value } }
  if (type === attributeKinds.string) return { s: Buffer.from(value as string) }
  if (type === attributeKinds.shape || type === binding.TF_ATTR_SHAPE) return { shape: shapeMessage(value as number[]) }
  if (type === attributeKinds.tensor) return { tensor: tensorMessage(value as ConstantValue) }
  throw new Error(`the attribute ${name} has an unknown kind`)
}

function tensorMessage({ shape, dtype, values }: ConstantValue) {
  const { buffer, byteOffset, byteLength } = values as ArrayBufferView
  return { dtype, tensor_shape: shapeMessage(shape), tensor_content: new Uint8Array(buffer, byteOffset, byteLength) }
}

const shapeMessage = (shape: readonly number[]) => ({ dim: shape.map((size) => ({ size })) })
