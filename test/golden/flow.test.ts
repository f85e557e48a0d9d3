import { describe, expect, it } from 'vitest'
import { drawSigma, shiftedLogitNormal, sigmaSchedule } from '../../src/diffusion/flow-matching.ts'
import { randomFor } from '../../src/platform/random.ts'
import { golden, goldenJson } from './golden.ts'

type SigmaCase = {
  L: number
  normal: number[]
  U: number[]
  U2: number[]
  sigma: number[]
  quantile_probs: number[]
  quantiles: number[]
}
const sampler = goldenJson('timestep-sampler.json') as {
  cases: SigmaCase[]
  tolerance: { sigma_abs: number; quantile_abs: number }
}

describe.each(sampler.cases)(
  'the sigma of a target of $L latent frames',
  ({ L, normal, U, U2, sigma, quantile_probs, quantiles }) => {
    it('equals that of the reference for the same random numbers', () => {
      sigma.forEach((expected, i) => {
        const draw = { normal: normal[i] as number, uniform: U[i] as number, mixture: U2[i] as number }
        expect(Math.abs(shiftedLogitNormal(draw, L) - expected)).toBeLessThanOrEqual(sampler.tolerance.sigma_abs)
      })
    })

    it('is distributed as in the reference', () => {
      const draws = 40_000
      const random = randomFor(1, 'sigma', L)
      const sorted = Float64Array.from({ length: draws }, () => drawSigma(random, L)).sort()
      const tolerance = sampler.tolerance.quantile_abs * Math.sqrt(1_000_000 / draws)
      quantile_probs.forEach((probability, i) => {
        const actual = sorted[Math.min(Math.floor(probability * draws), draws - 1)] as number
        expect(Math.abs(actual - (quantiles[i] as number)), `quantile ${probability}`).toBeLessThanOrEqual(tolerance)
      })
    })
  },
)

describe('the sigma schedule of a preview', () => {
  const schedules = golden('sampler.safetensors')
  it.each(schedules.names.filter((name) => /^sigmas\d+$/.test(name)))('equals %s of the reference', (name) => {
    schedules.expectClose(name, sigmaSchedule(Number(name.slice('sigmas'.length))))
  })
})
