import { expect, it } from 'vitest'
import { principalAxes } from '../../scripts/pretrain/pca.ts'
import { randomFor } from '../../src/platform/random.ts'

it('finds the axes along which vectors were spread', () => {
  const random = randomFor(1, 'principal')
  const [along, across] = [
    [0.6, 0.8],
    [-0.8, 0.6],
  ] as const
  const vectors = Array.from({ length: 4000 }, () => {
    const [a, b] = [3 * random.normal(), 0.5 * random.normal()]
    return Float32Array.of(1 + a * along[0] + b * across[0], -2 + a * along[1] + b * across[1])
  })
  const { mean, axes, deviations } = principalAxes(vectors)
  expect(mean[0]).toBeCloseTo(1, 0)
  expect(mean[1]).toBeCloseTo(-2, 0)
  expect(deviations[0]).toBeCloseTo(3, 0)
  expect(deviations[1]).toBeCloseTo(0.5, 1)
  const [first, second] = axes as [Float64Array, Float64Array]
  expect(Math.abs((first[0] as number) * along[0] + (first[1] as number) * along[1])).toBeCloseTo(1, 2)
  expect((first[0] as number) * (second[0] as number) + (first[1] as number) * (second[1] as number)).toBeCloseTo(0, 6)
})
