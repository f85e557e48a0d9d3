/** Which pairs a repair rejects: what the inspection advises to leave out. */
import type { FixSettings } from '../../config/settings.ts'
import { adviseOn } from '../advice.ts'
import type { DatasetOptions } from '../fit-plan.ts'
import type { InspectedPair } from '../pair-inspection.ts'
import { sideNames } from '../pair-selection.ts'
import type { Problem } from '../problem.ts'

export type RejectionKind = 'one-sided' | 'unreadable' | FixSettings['keep'][number] | 'caption'

/** Files of one pair, by their paths in the source. A rejected caption does not reject its pair. */
export type Rejection = { name: string; kind: RejectionKind; reason: string; files: RejectedFile[] }

export type RejectedFile = { path: string; as: 'start' | 'end' | 'caption' }

/** The findings about pairs to reject. Duplicates come last: only a copy of a pair that is kept is one. */
const kindsOfFindings: readonly { kind: FixSettings['keep'][number]; findings: readonly string[] }[] = [
  { kind: 'clipped', findings: ['clipped-target', 'clipped-reference'] },
  { kind: 'duplicate', findings: ['duplicate'] },
]

export type RejectedPair = { pair: InspectedPair; kind: RejectionKind; reason: string }

/** Pairs of which a side cannot be read. @returns the others, in their order, and these with the reason. */
export function rejectUnreadable(inspected: readonly InspectedPair[]) {
  const rejected = inspected.flatMap((pair): RejectedPair[] => {
    const reason = unreadableSides(pair)
    return reason === undefined ? [] : [{ pair, kind: 'unreadable', reason }]
  })
  return { kept: inspected.filter((pair) => unreadableSides(pair) === undefined), rejected }
}

/**
 * @param silence why a pair is silent; undefined where it is not.
 * @returns the pairs to keep, in their order, and the others with the reason.
 */
export function rejectPairs(
  readable: readonly InspectedPair[],
  options: DatasetOptions,
  { keep, silence }: { keep: FixSettings['keep']; silence: (pair: InspectedPair) => string | undefined },
): { kept: InspectedPair[]; rejected: RejectedPair[] } {
  const rejected: RejectedPair[] = []
  let kept = [...readable]
  const reject = (kind: RejectionKind, reasonFor: (pair: InspectedPair) => string | undefined) => {
    kept = kept.filter((pair) => {
      const reason = reasonFor(pair)
      if (reason !== undefined) rejected.push({ pair, kind, reason })
      return reason === undefined
    })
  }
  if (!keep.includes('silent')) reject('silent', silence)
  for (const { kind, findings } of kindsOfFindings) {
    if (keep.includes(kind)) continue
    const reasons = new Map<string, string>()
    for (const finding of adviseOn(kept, options).findings) {
      if (!findings.includes(finding.kind)) continue
      for (const { name, detail } of finding.pairs) {
        const text = [finding.what, ...(detail === undefined ? [] : [detail])].join(
          detail?.startsWith('(') ? ' ' : ': ',
        )
        reasons.set(name, reasons.has(name) ? `${reasons.get(name)}; ${text}` : text)
      }
    }
    reject(kind, ({ pair }) => reasons.get(pair.name))
  }
  return { kept, rejected }
}

function unreadableSides({ pair, problems }: InspectedPair): string | undefined {
  const messages = sideNames.flatMap((side) => {
    const { path, audio } = pair[side]
    return audio === null ? problems.filter(({ file, severity }) => file === path && severity === 'error') : []
  })
  return messages.length > 0 ? messages.map(({ message }: Problem) => message).join('; ') : undefined
}
