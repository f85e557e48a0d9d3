/**
 * The ops that a run gives to TensorFlow on a graphics card, with their data types: those of the captured graphs and those that run eagerly. They are
 * collected on the processor, while the binding says that it computes on a card.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import protobuf from 'protobufjs'
import { startBackend } from '../../src/engine/backend.ts'
import { setEnvironment } from '../../src/engine/environment.ts'
import {
  copyBinding,
  dtypeCodes,
  type FunctionBinding,
  nativeBackend,
  type OpAttribute,
} from '../../src/engine/native.ts'
import type { Precision } from '../../src/engine/precision.ts'
import { train } from '../../src/train/train.ts'
import { tinyOptions, writeTinyData } from '../reliability/tiny-data.ts'

/** `types` are TensorFlow's codes, by attribute. */
export type UsedOp = { op: string; types: Record<string, number[]>; place: 'graph' | 'eager' }

/** The ops of short trainings with previews that encode everything: with saved and with recomputed activations, one and several examples per step. */
export async function collectUsedOps(precision: Precision): Promise<UsedOp[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-ops-'))
  const restore = setEnvironment({ LTX_A2A_PRECISION: precision, LTX_A2A_CACHE: folder })
  writeTinyData(folder)
  await startBackend('tensorflow')
  const observed = observeOps()
  try {
    for (const [recompute, gradientAccumulation] of [
      ['off', 1],
      ['on', 2],
    ] as const) {
      process.env.LTX_A2A_CACHE = join(folder, `cache-${recompute}`)
      await train({
        ...tinyOptions,
        ...{ data: join(folder, 'pairs'), out: join(folder, recompute), backend: 'tensorflow' },
        ...{ recompute, gradientAccumulation, rank: 4, numberOfSteps: 2, previewSteps: 2, previewInterval: 2 },
        validation: [{ prompt: 'some noise', referenceAudioUrl: join(folder, 'ref.wav') }],
      })
    }
    return observed.ops()
  } finally {
    observed.stop()
    restore()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** An op as text, such as `MatMul T=bfloat16`. */
export const opText = ({ op, types }: UsedOp) =>
  [op, ...Object.entries(types).map(([name, codes]) => `${name}=${codes.map(dtypeText).join('+')}`)].join(' ')

const dtypeText = (code: number) =>
  Object.entries({ ...dtypeCodes, int64: 9, resource: 20, string: 7 }).find(([, known]) => known === code)?.[0] ??
  `type ${code}`

function observeOps() {
  const backend = nativeBackend()
  const binding = backend.binding as FunctionBinding
  const [found, functions] = [new Map<string, UsedOp>(), new Set<string>()]
  const add = (used: UsedOp) => void found.set(`${used.place} ${opText(used)}`, used)
  const observing = {
    ...(copyBinding(binding) as FunctionBinding),
    isUsingGpuDevice: () => true,
    executeOp: (op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number) => {
      if (!functions.has(op)) add({ op, types: typesOf(attributes, binding), place: 'eager' })
      return binding.executeOp(op, attributes, inputs, outputs)
    },
    addFunction: (definition: Uint8Array) => {
      const { name, nodes } = decodeFunction(definition)
      functions.add(name)
      for (const node of nodes) add({ ...node, place: 'graph' })
      binding.addFunction(definition)
    },
  }
  backend.binding = observing
  return {
    /** In alphabetical order. */
    ops: () => [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, used]) => used),
    stop: () => {
      backend.binding = binding
    },
  }
}

const typesOf = (attributes: readonly OpAttribute[], { TF_ATTR_TYPE }: FunctionBinding) =>
  Object.fromEntries(
    attributes
      .filter(({ type }) => type === TF_ATTR_TYPE)
      .map(({ name, value }) => [name, (Array.isArray(value) ? value : [value]) as number[]]),
  )

/** The fields that are used here, from tensorflow/core/framework/function.proto and those that it imports. */
const definitions = `
  syntax = "proto3";
  message FunctionDef { OpDef signature = 1; repeated NodeDef node_def = 3; }
  message OpDef { string name = 1; }
  message NodeDef { string op = 2; map<string, AttrValue> attr = 5; }
  message AttrValue { oneof value { ListValue list = 1; int32 type = 6; } }
  message ListValue { repeated int32 type = 6; }
`

const functionType = protobuf.parse(definitions, { keepCase: true }).root.lookupType('FunctionDef')

type AttrValue = { type?: number; list?: { type?: number[] } }

function decodeFunction(bytes: Uint8Array): { name: string; nodes: Pick<UsedOp, 'op' | 'types'>[] } {
  const { signature, node_def } = functionType.toObject(functionType.decode(bytes))
  const nodes = node_def.map(({ op, attr = {} }: { op: string; attr?: Record<string, AttrValue> }) => {
    const types = Object.entries(attr).map(([name, { type, list }]) => [name, type !== undefined ? [type] : list?.type])
    return { op, types: Object.fromEntries(types.filter(([, codes]) => codes !== undefined)) }
  })
  return { name: signature.name, nodes }
}
