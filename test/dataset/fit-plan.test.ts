import { describe, expect, test } from 'vitest'
import { headSeconds } from '../../src/dataset/clips.ts'
import { planFit, usableBuckets } from '../../src/dataset/fit-plan.ts'

const plan = (reference: number, target: number, preservePitch = true, seconds = 5) =>
  planFit({ reference, target }, { seconds, preservePitch })

const asIs = { how: 'as-is' }
const trim = { how: 'trim' }
const stretch = (factor: number) => ({ how: 'stretch', factor })

describe('how a pair is fitted', () => {
  test.each([
    ['both exactly the bucket', 5, 5, asIs, asIs],
    ['both a little longer: stretched', 5.2, 5.4, stretch(5 / 5.2), stretch(5 / 5.4)],
    ['both 10 % longer: still stretched', 5.5, 5.5, stretch(5 / 5.5), stretch(5 / 5.5)],
    ['one exact, one a little longer', 5, 5.4, asIs, stretch(5 / 5.4)],
    ['one more than 10 % longer: both trimmed', 5.2, 5.51, trim, trim],
    ['one exact, one much longer', 5, 9, asIs, trim],
  ])('%s', (_, reference, target, expectedReference, expectedTarget) => {
    expect(plan(reference, target)).toEqual({ use: true, reference: expectedReference, target: expectedTarget })
  })

  test('everything longer is trimmed without pitch preservation', () => {
    expect(plan(5.2, 5.4, false)).toEqual({ use: true, reference: trim, target: trim })
  })

  test('rounding errors are ignored', () => {
    expect(plan(4.9999999, 5.0000001)).toEqual({ use: true, reference: asIs, target: asIs })
    expect(plan(3.3 * 1.1, 3.3, true, 3.3)).toMatchObject({ reference: { how: 'stretch' } })
  })

  test('a side one sample too short is skipped, and its duration is rounded down in the reason', () => {
    expect(plan(5, 239_999 / 48_000)).toEqual({ use: false, reason: 'target has 4.99 s of 5 s' })
    expect(plan(2.8, 1, false)).toEqual({ use: false, reason: 'reference has 2.8 s of 5 s, target has 1 s of 5 s' })
  })
})

describe('the usable clip lengths', () => {
  const both = (...seconds: number[]) => seconds.map((side) => ({ reference: side, target: side + 1 }))

  test('are those of the shorter side, rounded down to a tenth', () => {
    expect(usableBuckets([{ reference: 9, target: 3.29 }])?.longest).toEqual({ seconds: 3.2, pairs: 1 })
    expect(usableBuckets(both(3.2, 4.05))?.longest).toEqual({ seconds: 4, pairs: 1 })
  })

  test('include the longest for at least one pair and the longest for all pairs', () => {
    expect(usableBuckets(both(0.3, 3.2, 3.21, 4.7, 4.75))).toEqual({
      longest: { seconds: 4.7, pairs: 2 },
      all: { seconds: 3.2, pairs: 4 },
    })
  })

  test('are within the range of the option', () => {
    expect(usableBuckets(both(100))?.longest).toEqual({ seconds: 60, pairs: 1 })
    expect(usableBuckets(both(0.49, 0.1))).toBeUndefined()
    expect(usableBuckets(both(0.5))?.longest).toEqual({ seconds: 0.5, pairs: 1 })
  })

  test('are long enough for their pairs to be used', () => {
    for (let tenths = 5; tenths <= 600; tenths++) {
      const { longest } = usableBuckets(both(tenths / 10)) as { longest: { seconds: number } }
      expect(longest.seconds).toBe(tenths / 10)
      expect(plan(tenths / 10, tenths / 10, true, longest.seconds).use).toBe(true)
    }
  })
})

test.each([0.5, 5, 20, 60])('for %d s the decoded head contains all of a recording that is stretched', (seconds) => {
  const isStretched = (duration: number) => JSON.stringify(plan(duration, duration, true, seconds)).includes('stretch')
  expect(isStretched(1.1 * seconds)).toBe(true)
  expect(isStretched(headSeconds(seconds))).toBe(false)
  expect(headSeconds(seconds)).toBeGreaterThan(1.1 * seconds + 0.5)
})
