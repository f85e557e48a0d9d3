/**
 * Functions of TensorFlow's eager context. All tensors that such a function uses, frozen weights included, are passed at every call, so any number of
 * functions share one copy.
 */
import { encodeFunction } from './function-definition.ts'
import type { FunctionDefinition } from './graph.ts'
import type { FunctionBinding, OpOutput } from './native.ts'

export type ContextFunction = {
  /** @param inputs tensors and handles, one for each input of the function. */
  run(inputs: readonly number[]): OpOutput[]
  remove(): void
}

/** Adds a function and those that it calls. @throws Error where a name is taken; then none was added. */
export function addContextFunction(
  binding: FunctionBinding,
  main: FunctionDefinition,
  called: readonly FunctionDefinition[],
): ContextFunction {
  const added: string[] = []
  const remove = () => {
    for (const name of added.splice(0).reverse()) binding.removeFunction(name)
  }
  try {
    for (const definition of [...called, main]) {
      binding.addFunction(encodeFunction(definition, binding))
      added.push(definition.name)
    }
  } catch (error) {
    remove()
    throw error
  }
  // without this attribute, even an empty one, TensorFlow does not optimize the function itself, only those that it calls
  const attributes = [{ name: 'config_proto', type: binding.TF_ATTR_STRING, value: '' }]
  return { run: (inputs) => binding.executeOp(main.name, attributes, inputs, main.outputs.length), remove }
}
