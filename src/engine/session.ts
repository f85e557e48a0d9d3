/**
 * A recorded graph in a TensorFlow session. Frozen tensors and the trained variables live in the session, set once; a run takes in the inputs and
 * gives out the outputs.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attributeKinds, constantNode, type GraphNode, holding, placeholderNode, typed } from './graph.ts'
import type { Binding, OpOutput } from './native.ts'
import type { Recording } from './recording.ts'
import { encodeSavedModel, tag } from './saved-model.ts'

/** What a slot in the session holds: its name is that of the node that reads it. */
export type Slot = { name: string; shape: readonly number[]; dtype: number }

export type Session = {
  run(inputs: readonly number[], inputNames: readonly string[], outputNames: readonly string[]): OpOutput[]
  /** Gives the slots new values; all of them at once. */
  set(ids: readonly number[]): void
  /** The values of the slots as tensors of their own. On a CPU they share memory with the session until it changes them. */
  get(): OpOutput[]
  /** Lets go of the slots' values; they must be set before the graph runs again. */
  clear(): void
  close(): void
}

/** Loads the graph and sets its frozen tensors. @param variables the slots that the graph changes. */
export function openSession(binding: Binding, recording: Recording, variables: readonly Slot[]): Session {
  const frozen = [...recording.residents].map(([name, { shape, dtype }]) => ({ name, shape, dtype }))
  const nodes = [
    ...recording.nodes,
    ...slotNodes(frozen, 'frozen'),
    ...slotNodes(variables, 'variables'),
    ...clearing(variables),
  ]
  const session = load(binding, encodeSavedModel(nodes, recording.functions, binding))
  const run: Session['run'] = (inputs, inputNames, outputNames) =>
    binding.runSavedModel(session, inputs, inputNames.map(port).join(), outputNames.map(port).join())
  const runOnly = (node: string, ids: readonly number[] = [], inputNames: readonly string[] = []) => {
    for (const { id } of run(ids, inputNames, [node])) binding.deleteTensor(id)
  }
  const setter = (slots: readonly Slot[], group: string) => (ids: readonly number[]) => {
    if (slots.length === 0) return
    const names = slots.map(({ name }) => `${name}/value`)
    runOnly(`${group}/set`, ids, names)
  }
  setter(frozen, 'frozen')([...recording.residents.values()].map(({ id }) => id))
  return {
    run,
    set: setter(variables, 'variables'),
    get: () =>
      variables.length === 0
        ? []
        : run(
            [],
            [],
            variables.map(({ name }) => name),
          ),
    clear: () => {
      if (variables.length > 0) runOnly('variables/clear')
    },
    close: () => binding.deleteSavedModel(session),
  }
}

export const handleOf = (slot: string) => `${slot}/handle`

/** A variable for each slot, a way to read it, and one node that sets all of them. */
function slotNodes(slots: readonly Slot[], group: string): GraphNode[] {
  const each = slots.flatMap((slot): GraphNode[] => {
    const { name } = slot
    const type = typed('dtype', slot.dtype)
    const shared = { name: 'shared_name', type: attributeKinds.string, value: name }
    return [
      { name: handleOf(name), op: 'VarHandleOp', inputs: [], attributes: [...holding(slot), shared] },
      { name, op: 'ReadVariableOp', inputs: [handleOf(name)], attributes: [type] },
      placeholderNode(`${name}/value`, slot),
      { name: `${name}/set`, op: 'AssignVariableOp', inputs: [handleOf(name), `${name}/value`], attributes: [type] },
    ]
  })
  return [
    ...each,
    doneAfter(
      `${group}/set`,
      slots.map(({ name }) => `${name}/set`),
    ),
  ]
}

/** One node that frees the variables of all slots. */
function clearing(slots: readonly Slot[]): GraphNode[] {
  const each = slots.map(
    ({ name }): GraphNode => ({
      name: `${name}/clear`,
      op: 'DestroyResourceOp',
      inputs: [handleOf(name)],
      attributes: [],
    }),
  )
  return [
    ...each,
    doneAfter(
      'variables/clear',
      each.map(({ name }) => name),
    ),
  ]
}

/** Some number, once the other nodes have run. */
const doneAfter = (name: string, others: readonly string[]): GraphNode => ({
  ...constantNode({ shape: [], dtype: 3, values: Int32Array.of(others.length) }),
  name,
  inputs: others.map((other) => `^${other}`),
})

/** `n3` is short for its first output. */
const port = (name: string) => (name.includes(':') ? name : `${name}:0`)

function load(binding: Binding, bytes: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-graph-'))
  try {
    writeFileSync(join(folder, 'saved_model.pb'), bytes)
    return binding.loadSavedModel(folder, tag)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
