/** How the pairs of a dataset relate: duplicates, pairs with recordings in common, and pairs whose transformation differs. */
import { findDuplicates } from '../audio/analysis/duplicates.ts'
import type { Fingerprint } from '../audio/analysis/fingerprint.ts'
import type { Consistency, Transformation } from '../audio/analysis/pair-comparison.ts'
import { createGroups } from '../platform/groups.ts'
import type { Reporter, Stage } from '../platform/progress.ts'
import { type Finding, findingIn } from './problem.ts'

/** What a pair is compared with other pairs by. */
export type PairFeatures = { transformation: Transformation; reference: Fingerprint; target: Fingerprint }

/** Pairs with equal numbers have the same reference, the same target, or a passage of a recording in common, directly or through other pairs. */
export type PairCopies = { reference: number; target: number; related: number }

export type ComparedPair = { name: string; features: PairFeatures; copies: PairCopies }

export type ComparisonProgress = { done: number; total: number }

/**
 * Finds the pairs that have recordings in common: the same file, a copy of it or of a part of it, on either side.
 * @param onProgress called now and then. When it throws, so does the search.
 */
export async function findCopies(
  pairs: readonly Pick<PairFeatures, 'reference' | 'target'>[],
  onProgress?: (progress: ComparisonProgress) => void,
): Promise<PairCopies[]> {
  const sides = ['reference', 'target'] as const
  const recordings = pairs.flatMap((pair, i) =>
    sides.map((kind, side) => ({ kind, fingerprint: pair[kind], counterpart: 2 * i + 1 - side })),
  )
  const { same, related } = await findDuplicates(recordings, onProgress)
  const groups = createGroups(pairs.length)
  for (const [recording, first] of related.entries()) groups.join(Math.floor(recording / 2), Math.floor(first / 2))
  return pairs.map((_, pair) => ({
    reference: same[2 * pair] as number,
    target: same[2 * pair + 1] as number,
    related: groups.firstOf(pair),
  }))
}

/** Reports the comparison of recordings as a stage where it takes a while, and stops it. */
export function createComparisonStage(reporter: Reporter): {
  onProgress: (progress: ComparisonProgress) => void
  finish(): void
} {
  let stage: Stage | undefined
  return {
    onProgress: ({ done, total }) => {
      stage ??= reporter.stage('Comparing recordings', total, 'recordings')
      stage.update(done)
      reporter.throwIfAborted()
    },
    finish: () => stage?.finish(),
  }
}

type CaptionedPair = Pick<ComparedPair, 'name' | 'copies'> & { caption: string }

/** A duplicate reference with another target is a contradiction, a duplicate pair only counts twice. Neither is, where both have captions and they differ. */
export function duplicateFindings(pairs: readonly CaptionedPair[]): Finding[] {
  const withOriginals = (isOriginal: (one: CaptionedPair, other: CaptionedPair) => boolean) =>
    pairs.flatMap((pair, i) => {
      const original = pairs.slice(0, i).find((other) => isOriginal(other, pair))
      return original ? [{ name: pair.name, detail: `(as ${original.name})` }] : []
    })
  return [
    ...findingIn(
      withOriginals(
        (one, other) =>
          one.caption === other.caption &&
          one.copies.reference === other.copies.reference &&
          one.copies.target !== other.copies.target,
      ),
      {
        kind: 'contradiction',
        severity: 'warning',
        what: 'One reference, two targets',
        hint: 'the model cannot know which one is meant: keep one of them, or give them different captions',
      },
    ),
    ...findingIn(
      withOriginals(
        (one, other) =>
          !haveOwnCaptions(one, other) &&
          one.copies.reference === other.copies.reference &&
          one.copies.target === other.copies.target,
      ),
      {
        kind: 'duplicate',
        severity: 'hint',
        what: 'Near-duplicates',
        hint: 'a duplicate counts twice in training: leave one out, as ltx-a2a fix-dataset does',
      },
    ),
  ]
}

/** Captions tell targets apart that look the same, such as one that is a little darker. A copy without a caption is one. */
const haveOwnCaptions = (one: CaptionedPair, other: CaptionedPair) =>
  one.caption !== '' && other.caption !== '' && one.caption !== other.caption

/** With a smaller share in common, a dataset has no common transformation, and therefore no outliers. */
const minCommonShare = 0.3

/** A pair that has nothing in common with the others has about 0. Swapped sides are further below: of the demo's pairs, each swapped in turn, all but one. */
const opposite = -0.1

/** Pairs whose transformation points away from that of the others, or all pairs where they have little in common. */
export function outlierFindings(pairs: readonly { name: string }[], consistency: Consistency | undefined): Finding[] {
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
  const outliers = pairs.filter((_, i) => (consistency.similarities[i] as number) < opposite)
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
