import { expect, it } from 'vitest'
import { mean, median, sum } from '../../src/platform/statistics.ts'

it('sums any list, also an empty one', () => {
  expect([sum([]), sum([1, 2, 3]), sum(Float32Array.of(0.5, 0.25)), sum(new Set([1, 4]).values())]).toEqual([
    0, 6, 0.75, 5,
  ])
})

it('a mean is that of the numbers, and NaN without any', () => {
  expect([mean([1, 2, 6]), mean(Float32Array.of(1, 2)), mean([])]).toEqual([3, 1.5, Number.NaN])
})

it('a median is the middle number by size, the upper of two, and NaN without any', () => {
  expect([median([9, 10, 1]), median([4, 1, 2, 3]), median([])]).toEqual([9, 3, Number.NaN])
})

it('a median leaves its list as it was', () => {
  const values = [3, 1, 2]
  median(values)
  expect(values).toEqual([3, 1, 2])
})
