import { describe, expect, it } from 'vitest'
import { drawSample, samplesForStep } from '../../src/train/sampling.ts'

const shapeOf = (pair: number): [number, number] => [4 + pair, 128]

/** The samples of the first `count` examples, in steps of `accumulation` examples. */
const samples = (count: number, { seed = 1, pairs = 6, accumulation = 1 } = {}) =>
  Array.from({ length: count / accumulation }, (_, step) =>
    samplesForStep(seed, step, { pairs, accumulation, shapeOf }),
  ).flat()

describe('the order of the pairs', () => {
  const epochs = (accumulation: number, seed = 1) => {
    const order = samples(6 * 6, { accumulation, seed }).map(({ pair }) => pair)
    return Array.from({ length: 6 }, (_, epoch) => order.slice(6 * epoch, 6 * epoch + 6))
  }

  it.each([1, 2, 4, 9])('contains every pair once per epoch, with %i examples per step', (accumulation) => {
    for (const epoch of epochs(accumulation)) expect(epoch.toSorted()).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('differs between epochs and between seeds', () => {
    expect(new Set(epochs(1).map(String)).size).toBe(6)
    expect(epochs(1, 2)).not.toEqual(epochs(1))
  })
})

describe('the sigma and noise', () => {
  it('differ for each example', () => {
    const drawn = samples(24)
    expect(new Set(drawn.map(({ sigma }) => sigma)).size).toBe(24)
    expect(new Set(drawn.map(({ noise }) => noise[0])).size).toBe(24)
    for (const { pair, noise } of drawn) expect(noise).toHaveLength((4 + pair) * 128)
  })

  it.each([2, 3, 4])('of the n-th example do not depend on whether a step has 1 or %i examples', (accumulation) => {
    expect(samples(24, { accumulation })).toEqual(samples(24))
  })

  it('depend only on the seed and the number of the step', () => {
    const options = { pairs: 6, accumulation: 2, shapeOf }
    expect(samplesForStep(1, 7, options)).toEqual(samples(16, { accumulation: 2 }).slice(14))
    expect(samplesForStep(2, 7, options)).not.toEqual(samplesForStep(1, 7, options))
  })

  it('of the fixed loss differ from those of the steps', () => {
    const fixed = drawSample(0, 1, ['fixed', 0], shapeOf(0))
    expect(fixed).toEqual(drawSample(0, 1, ['fixed', 0], shapeOf(0)))
    expect(samples(24).map(({ sigma }) => sigma)).not.toContain(fixed.sigma)
  })
})
