/** Which pairs are held out: measured, but not trained on. */
import { UserError } from '../platform/errors.ts'
import { randomFor } from '../platform/random.ts'
import { countText } from '../platform/text.ts'
import { type ComparedPair, type ComparisonProgress, findCopies } from './relations.ts'

/** With fewer pairs none are held out: training needs them more. */
export const fewestPairsToSplit = 8

/** The names of pairs that have a recording in common, also as a copy, as groups in the order of the pairs. Every pair is in one. */
export function groupsOf(pairs: readonly Pick<ComparedPair, 'name' | 'copies'>[]): string[][] {
  const groups = new Map<number, string[]>()
  for (const { name, copies } of pairs) groups.set(copies.related, [...(groups.get(copies.related) ?? []), name])
  return [...groups.values()]
}

/** How many of the pairs a number or a share (below 1) is. A share of up to a half is never more than half of them. */
export function heldOutCount(holdout: number, pairs: number): number {
  if (holdout >= 1) return holdout
  const rounded = Math.max(1, Math.round(holdout * pairs))
  return holdout <= 0.5 ? Math.min(rounded, Math.floor(pairs / 2)) : rounded
}

/**
 * Chooses pairs at random. The pairs of a group are held out together or not at all, so it can be fewer pairs than asked for. The seed and the names
 * decide: a pair that is added to the dataset leaves the order of the others as it is.
 * @param holdout how many pairs, or which share of them.
 * @returns the names of the held-out pairs, sorted; none where there are fewer than `fewestPairsToSplit` pairs.
 * @throws UserError where more than half of the pairs would be held out, or where every group is too large.
 */
export function chooseHeldOut(groups: readonly (readonly string[])[], holdout: number, seed: number): string[] {
  const pairs = groups.flat().length
  if (pairs < fewestPairsToSplit) return []
  const most = Math.floor(pairs / 2)
  const count = heldOutCount(holdout, pairs)
  if (count > most)
    throw new UserError(`holdout ${holdout} would leave ${Math.max(0, pairs - count)} of ${pairs} pairs to train on`, {
      hint: `hold out ${most} pairs or fewer`,
    })
  const inOrder = groups
    .map((names) => ({ names, key: randomFor(seed, 'holdout', names[0] as string).uniform() }))
    .sort((a, b) => a.key - b.key)
  const chosen: string[] = []
  for (const { names } of inOrder) if (chosen.length + names.length <= count) chosen.push(...names)
  if (chosen.length === 0) {
    const smallest = Math.min(...groups.map(({ length }) => length))
    throw new UserError(
      `no ${countText(count, 'pair')} can be held out: each recording is in ${smallest} pairs or more, and copies stay together`,
      { hint: 'hold out more pairs, or remove the copies that inspect-dataset names' },
    )
  }
  return chosen.sort()
}

/** The names of held-out pairs that have a recording in common with a pair that is trained on. @param onProgress as of `findCopies`. */
export async function copiesOfTraining(
  training: readonly Pick<ComparedPair, 'features'>[],
  heldOut: readonly Pick<ComparedPair, 'name' | 'features'>[],
  onProgress?: (progress: ComparisonProgress) => void,
): Promise<string[]> {
  const copies = await findCopies(
    [...training, ...heldOut].map(({ features }) => features),
    onProgress,
  )
  const trained = new Set(copies.slice(0, training.length).map(({ related }) => related))
  return heldOut.flatMap(({ name }, i) => (trained.has(copies[training.length + i]?.related as number) ? [name] : []))
}
