/**
 * A recorded graph in a TensorFlow session. Captured tensors and trained variables are variables of the session, which are set once; a run passes only
 * inputs and outputs.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  attributeKinds,
  constantNode,
  dtypeAttribute,
  type GraphNode,
  placeholderNode,
  specAttributes,
  type TensorSpec,
} from './graph.ts'
import { type Binding, dtypeCodes, type OpOutput } from './native.ts'
import type { Recording } from './recording.ts'
import { encodeSavedModel, servingTag } from './saved-model.ts'

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
