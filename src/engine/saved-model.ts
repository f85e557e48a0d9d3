/** A graph as the bytes of TensorFlow's SavedModel format, the one way into a session that tfjs-node offers. */
import protobuf from 'protobufjs'
import type { Binding, OpAttribute } from './native.ts'
import { attributeKinds, type GraphNode } from './recording.ts'

/** The few messages and fields of TensorFlow's own definitions (tensorflow/core/framework and protobuf) that are written here. */
const definitions = `
  syntax = "proto3";
  message SavedModel { int64 saved_model_schema_version = 1; repeated MetaGraphDef meta_graphs = 2; }
  message MetaGraphDef { MetaInfoDef meta_info_def = 1; GraphDef graph_def = 2; }
  message MetaInfoDef { repeated string tags = 4; }
  message GraphDef { repeated NodeDef node = 1; VersionDef versions = 4; }
  message VersionDef { int32 producer = 1; }
  message NodeDef { string name = 1; string op = 2; repeated string input = 3; map<string, AttrValue> attr = 5; }
  message AttrValue {
    oneof value {
      ListValue list = 1; bytes s = 2; int64 i = 3; float f = 4; bool b = 5; int32 type = 6; TensorShape shape = 7;
      TensorProto tensor = 8;
    }
  }
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

export function encodeSavedModel(nodes: readonly GraphNode[], binding: Binding): Uint8Array {
  const graph = {
    node: nodes.map(({ name, op, inputs, attributes }) => ({
      name,
      op,
      input: inputs,
      attr: Object.fromEntries(attributes.map((attribute) => [attribute.name, attributeValue(attribute, binding)])),
    })),
    versions: { producer },
  }
  const message = { saved_model_schema_version: 1, meta_graphs: [{ meta_info_def: { tags: [tag] }, graph_def: graph }] }
  return savedModel.encode(savedModel.fromObject(message)).finish()
}

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
  if (type === attributeKinds.type) return { type: value }
  if (type === attributeKinds.string) return { s: Buffer.from(value as string) }
  if (type === attributeKinds.shape || type === binding.TF_ATTR_SHAPE) return { shape: shapeOf(value as number[]) }
  if (type === attributeKinds.tensor) return { tensor: tensorOf(value as ConstantValue) }
  throw new Error(`the attribute ${name} is of an unknown kind`)
}

type ConstantValue = { shape: readonly number[]; dtype: number; values: ArrayBufferView }

const tensorOf = ({ shape, dtype, values }: ConstantValue) => ({
  dtype,
  tensor_shape: shapeOf(shape),
  tensor_content: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
})

const shapeOf = (shape: readonly number[]) => ({ dim: shape.map((size) => ({ size })) })
