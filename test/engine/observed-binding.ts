import { copyBinding, type FunctionBinding, nativeBackend } from '../../src/engine/native.ts'

/** Records what TensorFlow is told to do until `stop`: ops, the names of functions that are added and removed, and the names of variables. */
export function observeBinding() {
  const backend = nativeBackend()
  const binding = backend.binding as FunctionBinding
  const [ops, added, removed, variables] = [[], [], [], []] as [string[], string[], string[], string[]]
  const observing: FunctionBinding = {
    ...(copyBinding(binding) as FunctionBinding),
    executeOp: (op, attributes, inputs, outputs) => {
      ops.push(op)
      if (op === 'VarHandleOp') variables.push(attributes.find(({ name }) => name === 'shared_name')?.value as string)
      return binding.executeOp(op, attributes, inputs, outputs)
    },
    addFunction: (definition) => {
      binding.addFunction(definition)
      added.push(nameIn(definition))
    },
    removeFunction: (name) => {
      binding.removeFunction(name)
      removed.push(name)
    },
  }
  backend.binding = observing
  const stop = () => {
    backend.binding = binding
  }
  return { ops, added, removed, variables, stop }
}

/** The name is the first field of the signature, which is the first field of a FunctionDef. */
const nameIn = (definition: Uint8Array) => /captured\w+/.exec(Buffer.from(definition).toString('latin1'))?.[0] as string

/** The number of tensors in TensorFlow itself, including those that TensorFlow.js does not know of. */
export const nativeTensorCount = () =>
  (nativeBackend().binding as unknown as { getNumOfTensors(): number }).getNumOfTensors()
