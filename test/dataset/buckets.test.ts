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

test('the longest clip length that keeps nearly all pairs is recommended, up to ten seconds', () => {
  expect(recommendedSeconds(pairsPerClipLength(both(1, ...Array<number>(19).fill(4), 6)))).toBe(4)
  expect(recommendedSeconds(pairsPerClipLength(both(3, 4, 6)))).toBe(3)
  expect(recommendedSeconds(pairsPerClipLength(both(30, 40)))).toBe(10)
  expect(recommendedSeconds(pairsPerClipLength(both(0.1)))).toBeNull()
})

test('sampleBuckets keeps the first and the last bucket', () => {
  const kept = pairsPerClipLength(both(...Array.from({ length: 30 }, (_, i) => 1 + i / 10)))
  const few = sampleBuckets(kept, 6)
  expect([few.length, few[0], few.at(-1)]).toEqual([6, kept[0], kept.at(-1)])
  expect(sampleBuckets(few, 6)).toEqual(few)
})
