import { describe, expect, it } from 'vitest'
import { passesPerStep, perturbedBlock } from '../../src/diffusion/sampler.ts'

describe('a sampling step', () => {
  it('perturbs block 28 of 48 and the corresponding block of a smaller model', () => {
    expect([48, 4, 1].map(perturbedBlock)).toEqual([28, 2, 0])
  })

  it('costs one pass for the prompt, one for CFG, and the blocks from the perturbed block for STG', () => {
    expect(passesPerStep({ cfg: 1, stg: 0 }, 48)).toBe(1)
    expect(passesPerStep({ cfg: 7, stg: 0 }, 48)).toBe(2)
    expect(passesPerStep({ cfg: 7, stg: 1 }, 48)).toBeCloseTo(2 + 20 / 48)
    expect(passesPerStep({ cfg: 1, stg: 1 }, 4)).toBe(1.5)
  })
})
