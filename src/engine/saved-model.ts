/** A graph as the bytes of TensorFlow's SavedModel format, the one way into a session that tfjs-node offers. */
import protobuf from 'protobufjs'
import { attributeKinds, type ConstantValue, type GraphFunction, type GraphNode } from './graph.ts'
import type { Binding, OpAttribute } from './native.ts'

/** The few messages and fields of TensorFlow's own definitions (tensorflow/core/framework and protobuf) that are written here. */
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

const savedModel = protobuf.parse(definitions, { keepCase: true }).root.lookupType('SavedModel')

/** How a session is found again in the file. */
export const tag = 'serve'

/** The version of graphs that TensorFlow 2 writes. */
const producer = 1500

export function encodeSavedModel(
  nodes: readonly GraphNode[],
  functions: readonly GraphFunction[],
  binding: Binding,
): Uint8Array {
  const graph = {
    node: nodes.map((node) => nodeDef(node, binding)),
    library: { function: functions.map((written) => functionDef(written, binding)) },
    versions: { producer },
  }
  const message = { saved_model_schema_version: 1, meta_graphs: [{ meta_info_def: { tags: [tag] }, graph_def: graph }] }
  return savedModel.encode(message).finish()
}

const nodeDef = ({ name, op, inputs, attributes }: GraphNode, binding: Binding) => ({
  name,
  op,
  input: inputs,
  attr: Object.fromEntries(attributes.map((attribute) => [attribute.name, attributeValue(attribute, binding)])),
})

/** It is called as it stands: copied into its callers, it would be prepared as often as it is called. */
const functionDef = ({ name, inputs, outputs, nodes, effects }: GraphFunction, binding: Binding) => ({
  signature: {
    name,
    input_arg: inputs.map(({ name, dtype }) => ({ name, type: dtype })),
    output_arg: outputs.map(({ name, dtype }) => ({ name, type: dtype })),
    is_stateful: effects.length > 0,
    control_output: effects,
  },
  node_def: nodes.map((node) => nodeDef(node, binding)),
  ret: Object.fromEntries(outputs.map(({ name, from }) => [name, from])),
  attr: { _noinline: { b: true } },
  control_ret: Object.fromEntries(effects.map((node) => [node, node])),
})

function attributeValue({ name, type, value }: OpAttribute, binding: Binding): object {
  const single: [number, string][] = [
    [binding.TF_ATTR_STRING, 's'],
    [binding.TF_ATTR_INT, 'i'],
    [binding.TF_ATTR_FLOAT, 'f'],
    [binding.TF_ATTR_BOOL, 'b'],
    [binding.TF_ATTR_TYPE, 'type'],
  ]
  const field = single.find(([kind]) => kind === type)?.[1]
  const encoded = (one: unknown) => (field === 's' ? Buffer.from(one as string) : one)
  if (field) return Array.isArray(value) ? { list: { [field]: value.map(encoded) } } : { [field]: encoded(value) }
  if (type === attributeKinds.type) return Array.isArray(value) ? { list: { type: value } } : { type: value }
  if (type === attributeKinds.function) return { func: { name: value } }
  if (type === attributeKinds.string) return { s: Buffer.from(value as string) }
  if (type === attributeKinds.shape || type === binding.TF_ATTR_SHAPE) return { shape: shapeOf(value as number[]) }
  if (type === attributeKinds.tensor) return { tensor: tensorOf(value as ConstantValue) }
  throw new Error(`the attribute ${name} is of an unknown kind`)
}

function tensorOf({ shape, dtype, values }: ConstantValue) {
  const { buffer, byteOffset, byteLength } = values as ArrayBufferView
  return { dtype, tensor_shape: shapeOf(shape), tensor_content: new Uint8Array(buffer, byteOffset, byteLength) }
}

const shapeOf = (shape: readonly number[]) => ({ dim: shape.map((size) => ({ size })) })
