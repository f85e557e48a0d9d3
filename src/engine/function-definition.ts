/** Functions in TensorFlow's format: `FunctionDef`, a protocol buffer. */
import protobuf from 'protobufjs'
import {
  attributeKinds,
  type ConstantValue,
  type FunctionArgument,
  type FunctionDefinition,
  type GraphNode,
} from './graph.ts'
import type { Binding, OpAttribute } from './native.ts'

/**
 * The function as the bytes of a `FunctionDef`. `_noinline` keeps TensorFlow from inlining the function into its callers, where it would be prepared once
 * per call.
 */
export function encodeFunction(definition: FunctionDefinition, binding: Binding): Uint8Array {
  const { name, inputs, outputs, nodes, sideEffects } = definition
  const message = {
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
    arg_attr: shapesOf(inputs),
  }
  return functionType.encode(message).finish()
}

/** The messages and fields that are used here, from TensorFlow's definitions (tensorflow/core/framework). */
const definitions = `
  syntax = "proto3";
  message FunctionDef {
    OpDef signature = 1; repeated NodeDef node_def = 3; map<string, string> ret = 4; map<string, AttrValue> attr = 5;
    map<string, string> control_ret = 6; map<uint32, ArgAttrs> arg_attr = 7;
  }
  message ArgAttrs { map<string, AttrValue> attr = 1; }
  message OpDef {
    string name = 1; repeated ArgDef input_arg = 2; repeated ArgDef output_arg = 3; bool is_stateful = 17;
    repeated string control_output = 20;
  }
  message ArgDef { string name = 1; int32 type = 3; }
  message NodeDef { string name = 1; string op = 2; repeated string input = 3; map<string, AttrValue> attr = 5; }
  message AttrValue {
    oneof value {
      ListValue list = 1; bytes s = 2; int64 i = 3; float f = 4; bool b = 5; int32 type = 6; TensorShape shape = 7;
      TensorProto tensor = 8; NameAttrList func = 10;
    }
  }
  message NameAttrList { string name = 1; }
  message ListValue { repeated bytes s = 2; repeated int64 i = 3; repeated float f = 4; repeated bool b = 5; repeated int32 type = 6; repeated TensorShape shape = 7; }
  message TensorShape { repeated Dim dim = 2; }
  message Dim { int64 size = 1; }
  message TensorProto { int32 dtype = 1; TensorShape tensor_shape = 2; bytes tensor_content = 4; }
`

const functionType = protobuf.parse(definitions, { keepCase: true }).root.lookupType('FunctionDef')

const shapesOf = (inputs: readonly FunctionArgument[]) =>
  Object.fromEntries(
    inputs.flatMap(({ shape }, i) =>
      shape ? [[i, { attr: { _output_shapes: { list: { shape: [shapeMessage(shape)] } } } }]] : [],
    ),
  )

const nodeDef = ({ name, op, inputs, attributes }: GraphNode, binding: Binding) => ({
  name,
  op,
  input: inputs,
  attr: Object.fromEntries(attributes.map((attribute) => [attribute.name, attributeValue(attribute, binding)])),
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
  if (type === attributeKinds.tensor) return { tensor: tensorMessage(value as ConstantValue) }
  if (type === binding.TF_ATTR_SHAPE) return { shape: shapeMessage(value as number[]) }
  throw new Error(`the attribute ${name} has an unknown kind`)
}

function tensorMessage({ shape, dtype, values }: ConstantValue) {
  const { buffer, byteOffset, byteLength } = values as ArrayBufferView
  return { dtype, tensor_shape: shapeMessage(shape), tensor_content: new Uint8Array(buffer, byteOffset, byteLength) }
}

const shapeMessage = (shape: readonly number[]) => ({ dim: shape.map((size) => ({ size })) })
