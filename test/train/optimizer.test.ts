import { expect, it } from 'vitest'
import { learningRateFactor } from '../../src/train/optimizer.ts'

it('the linear schedule decays from 1 to 0.1', () => {
  expect([0, 50, 100].map((step) => learningRateFactor('linear', step, 100))).toEqual([1, 0.55, 0.09999999999999998])
})

it('the cosine schedule decays from 1 to 0', () => {
  expect(learningRateFactor('cosine', 0, 100)).toBe(1)
  expect(learningRateFactor('cosine', 50, 100)).toBeCloseTo(0.5)
  expect(learningRateFactor('cosine', 100, 100)).toBeCloseTo(0)
})

it('the constant schedule stays at 1', () => {
  expect(learningRateFactor('constant', 99, 100)).toBe(1)
})
