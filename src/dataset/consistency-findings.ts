/** What listening finds between pairs: recordings that occur twice, and pairs that do not do what the others do. */
import { findDuplicates } from '../audio/analysis/duplicates.ts'
import type { Consistency, PairFeatures } from '../audio/analysis/pair-comparison.ts'
import type { DatasetPair } from './pair-inspection.ts'
import { type Finding, findingIn } from './problem.ts'

type Heard = { pair: DatasetPair; features: PairFeatures }

/** One reference with two different targets contradicts itself; a whole pair twice only counts double. */
export function duplicateFindings(heard: readonly Heard[]): Finding[] {
  const twins = (side: 'reference' | 'target') => findDuplicates(heard.map(({ features }) => features[side]))
  const key = ([a, b]: readonly [number, number]) => `${a} ${b}`
  const targets = twins('target')
  const [references, sameTargets] = [twins('reference'), new Set(targets.map(key))]
  const isWhole = (twin: readonly [number, number]) => sameTargets.has(key(twin))
  const nameOf = (index: number) => heard[index]?.pair.name as string
  const list = (found: readonly [number, number][]) => {
    const originals = new Map<number, number>()
    for (const [original, copy] of found) if (!originals.has(copy)) originals.set(copy, original)
    return [...originals].map(([copy, original]) => ({ name: nameOf(copy), detail: `(as ${nameOf(original)})` }))
  }
  return [
    ...findingIn(list(references.filter((twin) => !isWhole(twin))), {
      kind: 'contradiction',
      severity: 'warning',
      what: 'One reference, two targets',
      hint: 'the model cannot know which one is meant: keep one of them, or give them different captions',
    }),
    ...findingIn(list(references.filter(isWhole)), {
      kind: 'duplicate',
      severity: 'hint',
      what: 'Near-duplicates',
      hint: 'a duplicate counts twice in training: leave one out',
    }),
  ]
}

/** Below this a dataset has no common transformation to be odd against. */
const common = 0.3

export function oddFindings(heard: readonly Heard[], agreement: Consistency | undefined): Finding[] {
  if (!agreement) return []
  if (agreement.share < common)
    return findingIn(
      heard.map(({ pair }) => ({ name: pair.name })),
      {
        kind: 'no-common-change',
        severity: 'hint',
        what: `Inconsistent pairs (${Math.round(agreement.share * 100)} % of the change is common to all)`,
        hint: 'one LoRA learns one transformation: split the dataset, or give each kind its own captions',
      },
    )
  const odd = heard.flatMap(({ pair }, i) => ((agreement.similarities[i] as number) < 0 ? [{ name: pair.name }] : []))
  return findingIn(odd, {
    kind: 'odd',
    severity: 'hint',
    what: 'Changed differently from the other pairs',
    hint: 'listen to them: left and right may be swapped, or another effect was used',
  })
}
