import { expect, it } from 'vitest'
import { createMovingAverage, mean, median, medianSlope, sum } from '../../src/platform/statistics.ts'

it('the sum accepts any iterable, including an empty one', () => {
  expect([sum([]), sum([1, 2, 3]), sum(Float32Array.of(0.5, 0.25)), sum(new Set([1, 4]).values())]).toEqual([
    0, 6, 0.75, 5,
  ])
})

it('the mean of an empty list is NaN', () => {
  expect([mean([1, 2, 6]), mean(Float32Array.of(1, 2)), mean([])]).toEqual([3, 1.5, Number.NaN])
})

it('the median is the middle number, the upper of two, and NaN for an empty list', () => {
  expect([median([9, 10, 1]), median([4, 1, 2, 3]), median([])]).toEqual([9, 3, Number.NaN])
})

it('the median does not change its list', () => {
  const values = [3, 1, 2]
  median(values)
  expect(values).toEqual([3, 1, 2])
})

it('a moving average begins with the first value and weights the newest one', () => {
  const average = createMovingAverage(0.5)
  expect([4, 4, 7].map(average.add)).toEqual([4, 4, (0.125 * 4 + 0.25 * 4 + 0.5 * 7) / 0.875])
})

it('the median slope is that of most points, whatever an outlier is, also of many points', () => {
  for (const count of [7, 1001]) {
    const points = Array.from({ length: count }, (_, i) => [10 * i, i === 3 ? 1000 : 5 - 0.2 * i] as const)
    expect(medianSlope(points)).toBeCloseTo(-0.02, 12)
  }
  expect(medianSlope([[0, 1]])).toBeNaN()
})
