/** Which pairs are held out: measured, but not trained on. */
import type { PairFeatures } from '../audio/analysis/pair-comparison.ts'
import { UserError } from '../platform/errors.ts'
import { randomFor } from '../platform/random.ts'
import { countText } from '../platform/text.ts'
import { groupsOfCopies } from './relations.ts'

/** What pairs are compared by. */
export type ComparedPair = { name: string; features: Pick<PairFeatures, 'reference' | 'target'> }

/** With fewer pairs none are held out: training needs them more. */
export const fewestPairsToSplit = 8

/** The names of pairs that have a recording in common, also as a copy, as groups. Every pair is in one. */
export const groupsOf = (pairs: readonly ComparedPair[]): string[][] =>
  groupsOfCopies(pairs.map(({ features }) => features)).map((group) => group.map((pair) => pairs[pair]?.name as string))

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
  const count = holdout < 1 ? Math.max(1, Math.round(holdout * pairs)) : holdout
  const most = Math.floor(pairs / 2)
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

/** The names of held-out pairs that have a recording in common with a pair that is trained on. */
export function copiesOfTraining(training: readonly ComparedPair[], heldOut: readonly ComparedPair[]): string[] {
  const groups = groupsOfCopies([...training, ...heldOut].map(({ features }) => features))
  const copies = groups.filter(([first]) => (first as number) < training.length).flat()
  return copies.flatMap((pair) => heldOut[pair - training.length]?.name ?? [])
}
