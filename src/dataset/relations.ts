/** Findings on how the pairs of a dataset relate: duplicates, and pairs whose transformation differs. */
import { type Fingerprint, findDuplicates } from '../audio/analysis/duplicates.ts'
import type { Consistency, PairFeatures } from '../audio/analysis/pair-comparison.ts'
import { type Finding, findingIn } from './problem.ts'

type AnalyzedPair = { name: string; features: PairFeatures }

/** A duplicate reference with another target is a contradiction. A duplicate pair only counts twice. */
export function duplicateFindings(pairs: readonly AnalyzedPair[]): Finding[] {
  const duplicatesOf = (side: 'reference' | 'target') => findDuplicates(pairs.map(({ features }) => features[side]))
  const key = ([original, copy]: readonly [number, number]) => `${original} ${copy}`
  const sameTargets = new Set(duplicatesOf('target').map(key))
  const sameReferences = duplicatesOf('reference')
  const isWholePair = (duplicate: readonly [number, number]) => sameTargets.has(key(duplicate))
  const nameOf = (index: number) => pairs[index]?.name as string
  const copiesIn = (duplicates: readonly [number, number][]) => {
    const originals = new Map<number, number>()
    for (const [original, copy] of duplicates) if (!originals.has(copy)) originals.set(copy, original)
    return [...originals].map(([copy, original]) => ({ name: nameOf(copy), detail: `(as ${nameOf(original)})` }))
  }
  return [
    ...findingIn(copiesIn(sameReferences.filter((duplicate) => !isWholePair(duplicate))), {
      kind: 'contradiction',
      severity: 'warning',
      what: 'One reference, two targets',
      hint: 'the model cannot know which one is meant: keep one of them, or give them different captions',
    }),
    ...findingIn(copiesIn(sameReferences.filter(isWholePair)), {
      kind: 'duplicate',
      severity: 'hint',
      what: 'Near-duplicates',
      hint: 'a duplicate counts twice in training: leave one out, as ltx-a2a fix-dataset does',
    }),
  ]
}

/**
 * Groups of pairs that have a recording in common: the same file, or a copy of it, on either side. Every pair is in one group.
 * @returns indices of the pairs; groups and pairs are in the order of the pairs.
 */
export function groupsOfCopies(pairs: readonly Pick<PairFeatures, 'reference' | 'target'>[]): number[][] {
  const sides: Fingerprint[] = pairs.flatMap(({ reference, target }) => [reference, target])
  const first = pairs.map((_, i) => i) // the smallest index of the group that a pair is known to belong to
  const firstOf = (pair: number): number => {
    const other = first[pair] as number
    return other === pair ? pair : firstOf(other)
  }
  for (const [one, other] of findDuplicates(sides)) {
    const [a, b] = [firstOf(Math.floor(one / 2)), firstOf(Math.floor(other / 2))]
    first[Math.max(a, b)] = Math.min(a, b)
  }
  const groups = new Map<number, number[]>()
  for (const pair of pairs.keys()) groups.set(firstOf(pair), [...(groups.get(firstOf(pair)) ?? []), pair])
  return [...groups.values()]
}

/** With a smaller share in common, a dataset has no common transformation, and therefore no outliers. */
const minCommonShare = 0.3

/** Pairs whose transformation points away from that of the others, or all pairs where they have little in common. */
export function outlierFindings(pairs: readonly AnalyzedPair[], consistency: Consistency | undefined): Finding[] {
  if (!consistency) return []
  if (consistency.share < minCommonShare)
    return findingIn(
      pairs.map(({ name }) => ({ name })),
      {
        kind: 'no-common-change',
        severity: 'hint',
        what: `Inconsistent pairs (${Math.round(consistency.share * 100)} % of the change is common to all)`,
        hint: 'one LoRA learns one transformation: split the dataset, or give each kind its own captions',
      },
    )
  const outliers = pairs.filter((_, i) => (consistency.similarities[i] as number) < 0)
  return findingIn(
    outliers.map(({ name }) => ({ name })),
    {
      kind: 'odd',
      severity: 'hint',
      what: 'Changed differently from the other pairs',
      hint: 'listen to them: _start and _end may be swapped, or another effect was used',
    },
  )
}
