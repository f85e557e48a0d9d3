import { describe, expect, it } from 'vitest'
import {
  bestLora,
  type EvaluatedStep,
  evaluationInterval,
  evaluationMetrics,
  evaluationOf,
  evaluationsSinceBest,
  isStalled,
} from '../../src/train/evaluation.ts'

const evaluated = (...losses: (number | [lora: number, average: number])[]): EvaluatedStep[] =>
  losses.map((loss, i) => {
    const [heldOutLoss, emaHeldOutLoss] = typeof loss === 'number' ? [loss] : loss
    return { step: 10 * i, fixedLoss: 1, heldOutLoss, ...(emaHeldOutLoss !== undefined && { emaHeldOutLoss }) }
  })

describe('the best LoRA', () => {
  it('has the lowest held-out loss; of equal ones it is the first', () => {
    expect(bestLora(evaluated(3, 2, 1, 1, 2))).toEqual({ step: 20, heldOutLoss: 1, isAverage: false })
  })

  it('is not that of step 0, which changes nothing', () => {
    expect(bestLora(evaluated(1, 3, 2))).toMatchObject({ step: 20 })
    expect(bestLora(evaluated(1))).toBeUndefined()
  })

  it('can be the moving average, unless the LoRA of the step is as good', () => {
    expect(bestLora(evaluated([3, 3], [2, 1], [1.5, 2]))).toEqual({ step: 10, heldOutLoss: 1, isAverage: true })
    expect(bestLora(evaluated([3, 3], [1, 1]))).toMatchObject({ isAverage: false })
  })

  it('has a finite loss', () => {
    expect(bestLora(evaluated(3, Number.NaN, 2))).toMatchObject({ step: 20 })
    expect(bestLora(evaluated(3, Number.NaN))).toBeUndefined()
  })

  it('does not exist without held-out pairs', () => {
    expect(bestLora([{ step: 10, fixedLoss: 1 }])).toBeUndefined()
  })
})

describe('patience', () => {
  it('counts the evaluations since the best one', () => {
    expect(evaluationsSinceBest(evaluated(3, 2, 1, 4, 5))).toBe(2)
    expect(evaluationsSinceBest(evaluated(3, 2, 1))).toBe(0)
    expect(evaluationsSinceBest(evaluated(1))).toBe(0)
  })

  it('ends the training after so many; 0 never does', () => {
    const losses = evaluated(3, 1, 2, 2)
    expect([1, 2, 3, 0].map((patience) => isStalled(losses, patience))).toEqual([true, true, false, false])
  })
})

describe('an evaluation in the metrics', () => {
  it('is read as it was written, to the last digit', () => {
    const evaluation = { fixedLoss: 0.1 + 0.2, heldOutLoss: 1 / 3, emaFixedLoss: 2 / 3, emaHeldOutLoss: 1e-17 }
    const line = JSON.stringify({ step: 5, loss: 1, ...evaluationMetrics(evaluation) })
    expect(evaluationOf(JSON.parse(line))).toEqual({ step: 5, ...evaluation })
  })

  it('has the fixed loss alone without held-out pairs and average', () => {
    expect(evaluationMetrics({ fixedLoss: 1 })).toEqual({ fixed_loss: 1 })
    expect(evaluationOf({ step: 5, fixed_loss: 1 })).toEqual({ step: 5, fixedLoss: 1 })
  })

  it('is missing at other steps', () => {
    expect(evaluationOf({ step: 5, loss: 1 })).toBeUndefined()
  })

  it('keeps a loss that was not finite as such', () => {
    const line = JSON.stringify({ step: 5, ...evaluationMetrics({ fixedLoss: 1, heldOutLoss: Number.NaN }) })
    expect(evaluationOf(JSON.parse(line))).toEqual({ step: 5, fixedLoss: 1, heldOutLoss: Number.NaN })
  })
})

it('evaluations take place with the checkpoints, with held-out pairs every 100 steps, or as the settings say', () => {
  const settings = { checkpointInterval: 250, holdout: 0, holdoutData: undefined, evalInterval: undefined }
  expect(evaluationInterval(settings)).toBe(250)
  expect(evaluationInterval({ ...settings, holdout: 0.1 })).toBe(100)
  expect(evaluationInterval({ ...settings, holdoutData: 'other.zip' })).toBe(100)
  expect(evaluationInterval({ ...settings, holdout: 4, evalInterval: 0 })).toBe(0)
})
