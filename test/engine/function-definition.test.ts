import { expect, it } from 'vitest'
import { encodeFunction } from '../../src/engine/function-definition.ts'
import type { FunctionArgument, FunctionDefinition } from '../../src/engine/graph.ts'
import type { Binding } from '../../src/engine/native.ts'

const codes = ['STRING', 'INT', 'FLOAT', 'BOOL', 'TYPE', 'SHAPE'].map((kind, i) => [`TF_ATTR_${kind}`, i] as const)
const binding = Object.fromEntries(codes) as unknown as Binding

const encoded = (...inputs: FunctionArgument[]) => {
  const [{ name: from }] = inputs as [FunctionArgument]
  const outputs = [{ name: 'output0', dtype: 1, from }]
  const definition: FunctionDefinition = { name: 'f', inputs, outputs, nodes: [], sideEffects: [] }
  return Buffer.from(encodeFunction(definition, binding)).toString('latin1')
}

it('a function has the shapes of its inputs, by which TensorFlow optimizes it, where they are known', () => {
  const count = (text: string) => text.split('_output_shapes').length - 1
  expect(count(encoded({ name: 'x', dtype: 1 }, { name: 'handle', dtype: 20 }))).toBe(0)
  expect(count(encoded({ name: 'x', dtype: 1, shape: [2, 3] }, { name: 'handle', dtype: 20 }))).toBe(1)
  expect(encoded({ name: 'x', dtype: 1, shape: [2] })).not.toBe(encoded({ name: 'x', dtype: 1, shape: [3] }))
})
