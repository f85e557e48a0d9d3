/** Which pairs a finding is about, and which of their sides. */
import type { DatasetPair, DatasetSide } from './pair-inspection.ts'
import type { Finding } from './problem.ts'

export type SideName = 'reference' | 'target'

export const sideNames: readonly SideName[] = ['reference', 'target']

/** The pairs for which `detail` is defined; an empty detail is left out. */
export const pairsWhere = (
  pairs: readonly DatasetPair[],
  detail: (pair: DatasetPair) => string | undefined,
): Finding['pairs'] =>
  pairs.flatMap((pair) => {
    const found = detail(pair)
    return found === undefined ? [] : [found === '' ? { name: pair.name } : { name: pair.name, detail: found }]
  })

/** The sides for which the condition is true, as the detail of a finding. */
export function sidesWhere(pair: DatasetPair, condition: (side: DatasetSide) => boolean): string | undefined {
  const names = sideNames.filter((side) => condition(pair[side]))
  if (names.length === 0) return undefined
  return `(${names.length === 2 ? 'both sides' : names[0]})`
}
