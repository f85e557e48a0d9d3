import { expect, test } from 'vitest'
import { pairsPerClipLength, recommendedSeconds, sampleBuckets } from '../../src/dataset/fit-plan.ts'

const both = (...seconds: number[]) => seconds.map((length) => ({ reference: length, target: length }))

test('each clip length counts the pairs whose shorter side is long enough', () => {
  const kept = pairsPerClipLength([...both(2.29, 2.2, 5), { reference: 9, target: 3.04 }])
  expect(kept).toEqual([
    { seconds: 2.2, pairs: 4 },
    { seconds: 3, pairs: 2 },
    { seconds: 5, pairs: 1 },
  ])
})

test('sides shorter than half a second are not counted, sides longer than a minute count as a minute', () => {
  expect(pairsPerClipLength(both(0.4, 61, 600))).toEqual([{ seconds: 60, pairs: 2 }])
})

test('the longest clip length up to ten seconds that uses nearly all of the sound is recommended', () => {
  expect(recommendedSeconds(both(1, ...Array<number>(19).fill(4), 6), 5)).toBe(4)
  expect(recommendedSeconds(both(3, 4, 6), 5)).toBe(3)
  expect(recommendedSeconds(both(...Array<number>(14).fill(2.3), 2.2, 2.2, 2.2, 2.2), 5)).toBe(2.2)
  expect(recommendedSeconds(both(9.4, 9.4, 12), 5)).toBe(9.4)
  expect(recommendedSeconds(both(0.1), 5)).toBeNull()
})

test('a length is only recommended in place of the one that is set where it gains', () => {
  const sixes = Array<number>(7).fill(6)
  expect(recommendedSeconds(both(...sixes, 1), 5)).toBe(6) // not 1, which would use more pairs and less sound
  expect(recommendedSeconds(both(...sixes, 1), 1)).toBe(1) // --windows all uses nearly all of it
  expect(recommendedSeconds(both(...Array<number>(14).fill(2.3), 2.2), 2.2)).toBe(2.2) // 2.3 would drop a pair
  expect(recommendedSeconds(both(...Array<number>(10).fill(3.9), 2), 2)).toBe(2) // 3.9 would drop one, too
  expect(recommendedSeconds(both(30, 40, 95), 5)).toBe(5) // all of it is used with --windows all
  expect(recommendedSeconds(both(...Array<number>(10).fill(9.9), ...Array<number>(40).fill(1)), 5)).toBe(9.9)
})

test('sampleBuckets keeps the first and the last bucket', () => {
  const kept = pairsPerClipLength(both(...Array.from({ length: 30 }, (_, i) => 1 + i / 10)))
  const few = sampleBuckets(kept, 6)
  expect([few.length, few[0], few.at(-1)]).toEqual([6, kept[0], kept.at(-1)])
  expect(sampleBuckets(few, 6)).toEqual(few)
})
