import { describe, expect, it } from 'vitest'
import type { Waveform } from '../../src/audio/waveform.ts'
import { findCopies, type PairCopies } from '../../src/dataset/relations.ts'
import { chooseHeldOut, copiesOfTraining, groupsOf, heldOutCount } from '../../src/dataset/split.ts'
import { fingerprintOf } from '../audio/analysis/fingerprints.ts'
import { performance, radio } from '../audio/analysis/sounds.ts'

type Sounds = [Waveform, Waveform, Waveform, Waveform]

const seeds = Array.from({ length: 100 }, (_, seed) => seed)
const single = Array.from({ length: 10 }, (_, i) => [`pair-${i}`])
/** One recording is in three pairs. */
const withCopies = [['pair-0', 'copy-1', 'copy-2'], ...single.slice(1, 8)]

it('groups have the pairs that share a recording on any side, also through others, and every pair is in one', async () => {
  const [a, b, c, d] = [1, 2, 3, 4].map((recording) => performance(recording, { seconds: 2 })) as Sounds
  const sides: [Waveform, Waveform][] = [
    [a, radio(a, 1)],
    [c, d],
    [b, c],
    [a, b],
  ]
  const pairs = sides.map(([reference, target], i) => ({
    name: `pair-${i}`,
    features: {
      transformation: new Float32Array(),
      reference: fingerprintOf(reference),
      target: fingerprintOf(target),
    },
  }))
  const grouped = async (list: typeof pairs) => {
    const copies = await findCopies(list.map(({ features }) => features))
    return groupsOf(list.map(({ name }, i) => ({ name, copies: copies[i] as PairCopies })))
  }
  expect(await grouped(pairs.slice(0, 3))).toEqual([['pair-0'], ['pair-1', 'pair-2']]) // c is a reference and a target
  expect(await grouped(pairs)).toEqual([['pair-0', 'pair-1', 'pair-2', 'pair-3']])
  expect(await copiesOfTraining(pairs.slice(0, 2), pairs.slice(2))).toEqual(['pair-2', 'pair-3'])
  expect(await copiesOfTraining(pairs.slice(0, 1), pairs.slice(1, 3))).toEqual([])
})

it('a share is at least one pair, and up to a half of the pairs is never more than half of them', () => {
  expect([0.01, 0.2, 0.5, 0.9, 12].map((holdout) => heldOutCount(holdout, 9))).toEqual([1, 2, 4, 8, 12])
})

describe('the held-out pairs', () => {
  it('are as many as asked for, as a number or as a share', () => {
    expect(chooseHeldOut(single, 3, 1)).toHaveLength(3)
    expect(chooseHeldOut(single, 0.2, 1)).toHaveLength(2)
    expect(chooseHeldOut(single, 0.01, 1)).toHaveLength(1)
    expect(chooseHeldOut(single, 0.5, 1)).toHaveLength(5)
    expect(chooseHeldOut(single.slice(1), 0.5, 1)).toHaveLength(4) // half of nine, rounded down
  })

  it('follow from the seed', () => {
    expect(chooseHeldOut(single, 3, 1)).toEqual(chooseHeldOut(single, 3, 1))
    expect(new Set(seeds.map((seed) => chooseHeldOut(single, 3, seed).join())).size).toBeGreaterThan(50)
  })

  it('include all pairs of a group or none', () => {
    for (const seed of seeds)
      for (const count of [1, 2, 3, 4]) {
        const heldOut = chooseHeldOut(withCopies, count, seed)
        const copies = heldOut.filter((name) => withCopies[0]?.includes(name))
        expect([0, 3]).toContain(copies.length)
        expect(heldOut).toHaveLength(count)
      }
  })

  it('are fewer than asked for where groups leave no other choice', () => {
    const groups = [0, 1, 2, 3].map((group) => ['a', 'b', 'c'].map((name) => `${name}${group}`))
    expect(chooseHeldOut(groups, 5, 1)).toHaveLength(3)
    expect(() => chooseHeldOut(groups, 2, 1)).toThrow(
      /^no 2 pairs can be held out: each recording is in 3 pairs or more/,
    )
  })

  it('stay the same where a pair is added that is not held out', () => {
    for (const seed of seeds) {
      const [before, after] = [single.slice(1), single].map((groups) => chooseHeldOut(groups, 3, seed))
      if (!after?.includes('pair-0')) expect(after).toEqual(before)
    }
  })

  it('are none of fewer than eight pairs', () => {
    expect(chooseHeldOut(single.slice(0, 7), 1, 1)).toEqual([])
    expect(chooseHeldOut(single.slice(0, 8), 1, 1)).toHaveLength(1)
  })

  it.each([6, 10, 20, 0.6])('are refused where more than half of the pairs would be held out: %d of 10', (holdout) => {
    expect(() => chooseHeldOut(single, holdout, 1)).toThrow(/^holdout .* would leave \d of 10 pairs to train on$/)
  })
})
