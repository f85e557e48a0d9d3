/** What an experienced trainer would say after listening to all pairs: how long the clips should be, and what to fix first. */
import { agreementOf } from '../analysis/transformation.ts'
import { keptPairs, recommendedSeconds } from './buckets.ts'
import { captionFindings } from './caption-findings.ts'
import type { DatasetOptions } from './dataset.ts'
import type { Finding } from './finding.ts'
import type { Bucket } from './fit-plan.ts'
import type { DatasetPair, InspectedPair } from './inspection.ts'
import { duplicateFindings, oddFindings } from './kinship-findings.ts'
import { lengthFindings } from './length-findings.ts'
import { soundFindings } from './sound-findings.ts'

export type Advice = {
  /** How many pairs each clip length keeps, and the length to take; `null` where no pair is long enough. */
  buckets: Bucket[]
  recommendedSeconds: number | null
  /** The share of all change in sound that the pairs have in common, 0 to 1; `null` for fewer than three pairs. */
  agreement: number | null
  /** What to fix first comes first. */
  findings: Finding[]
}

export function adviseOn(inspected: readonly InspectedPair[], options: DatasetOptions): Advice {
  const pairs = inspected.map(({ pair }) => pair)
  const heard = inspected.flatMap(({ pair, traits }) => (traits ? [{ pair, traits }] : []))
  const buckets = keptPairs(durationsOf(pairs))
  const recommended = recommendedSeconds(buckets)
  const agreement = agreementOf(heard.map(({ traits }) => traits.transformation))
  return {
    buckets,
    recommendedSeconds: recommended,
    agreement: agreement?.share ?? null,
    findings: [
      ...soundFindings(pairs, options),
      ...duplicateFindings(heard),
      ...lengthFindings(pairs, recommended, options),
      ...oddFindings(heard, agreement),
      ...captionFindings(pairs, options),
    ].sort((a, b) => weight[a.severity] - weight[b.severity]),
  }
}

const weight = { warning: 0, hint: 1 }

const durationsOf = (pairs: readonly DatasetPair[]) =>
  pairs.flatMap(({ reference, target }) =>
    reference.audio && target.audio ? [{ reference: reference.audio.seconds, target: target.audio.seconds }] : [],
  )
