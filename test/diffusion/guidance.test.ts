import { describe, expect, it } from 'vitest'
import { passesOf, perturbedBlock } from '../../src/diffusion/guidance.ts'

describe('a step of sampling', () => {
  it('perturbs block 28 of the released 48, and its like in a smaller model', () => {
    expect([48, 4, 1].map(perturbedBlock)).toEqual([28, 2, 0])
  })

  it('takes a pass for the prompt, one for the negative prompt, and from the perturbed block on one more', () => {
    expect(passesOf({ cfg: 1, stg: 0 }, 48)).toBe(1)
    expect(passesOf({ cfg: 7, stg: 0 }, 48)).toBe(2)
    expect(passesOf({ cfg: 7, stg: 1 }, 48)).toBeCloseTo(2 + 20 / 48)
    expect(passesOf({ cfg: 1, stg: 1 }, 4)).toBe(1.5)
  })
})
