/** Which of the ops that a run uses have a kernel for graphics cards. */
import type { Constraints, Kernels } from './registry.ts'
import { opText, type UsedOp } from './used-ops.ts'

/** The kernels of each op. */
export type KernelRecord = Record<string, Kernels>

/** `DEFAULT` kernels run on every device. */
const cardDevices = ['GPU', 'DEFAULT'] as const

/** Those that have none, each once. TensorFlow would compute them on the processor, and copy their inputs and outputs. */
export function missingKernels(used: readonly UsedOp[], record: KernelRecord): UsedOp[] {
  const missing = used.filter(({ op, types }) => {
    const kernels = cardDevices.flatMap((device) => record[op]?.[device] ?? [])
    return !kernels.some((constraints) => takes(constraints, types))
  })
  return [...new Map(missing.map((op) => [`${op.place} ${opText(op)}`, op])).values()]
}

/** An attribute without a constraint may have any type, and one that is a list, any of the allowed ones. */
const takes = (constraints: Constraints, types: UsedOp['types']) =>
  Object.entries(constraints).every(([name, allowed]) => (types[name] ?? []).every((code) => allowed.includes(code)))

/** The part of a registry that concerns the used ops, in alphabetical order. */
export function recordOf(used: readonly UsedOp[], registry: ReadonlyMap<string, Kernels>): KernelRecord {
  const names = [...new Set(used.map(({ op }) => op))].sort()
  return Object.fromEntries(
    names.map((name) => {
      const kernels = registry.get(name) ?? {}
      return [
        name,
        Object.fromEntries(cardDevices.flatMap((device) => (kernels[device] ? [[device, kernels[device]]] : []))),
      ]
    }),
  )
}
