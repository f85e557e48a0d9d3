/**
 * The evaluations of a run: the loss over the same pairs, noise and noise levels each time. What follows from them, such as the best step, is derived from
 * the list of all evaluations, which the metrics of the run hold: a resumed run comes to the same result.
 */

import type { TrainSettings } from '../config/settings.ts'

/** With held-out pairs, in steps. */
const defaultInterval = 100

/** Whether the settings ask for held-out pairs. */
export const holdsOut = ({ holdout, holdoutData }: Pick<TrainSettings, 'holdout' | 'holdoutData'>) =>
  holdout !== 0 || holdoutData !== undefined

/** The number of steps between two evaluations; 0 is only at the end. */
export const evaluationInterval = (
  settings: Pick<TrainSettings, 'evalInterval' | 'checkpointInterval' | 'holdout' | 'holdoutData'>,
): number => settings.evalInterval ?? (holdsOut(settings) ? defaultInterval : settings.checkpointInterval)

/** The losses of one evaluation. */
export type Evaluation = {
  /** Over pairs that the LoRA is trained on. With held-out pairs: over as many, with the same noise and noise levels. */
  fixedLoss: number
  /** Over the held-out pairs, where there are any. */
  heldOutLoss?: number
  /** The same two with the moving average of the LoRA, where there is one. */
  emaFixedLoss?: number
  emaHeldOutLoss?: number
}

export type EvaluatedStep = Evaluation & { step: number }

/** The LoRA with the lowest held-out loss so far. */
export type BestLora = {
  step: number
  heldOutLoss: number
  /** Whether it is the moving average of the LoRA. */
  isAverage: boolean
}

/** "the moving average at step 80" */
export const nameOfBest = ({ step, isAverage }: Pick<BestLora, 'step' | 'isAverage'>) =>
  `${isAverage ? 'the moving average at' : 'the LoRA of'} step ${step}`

/** "the moving average at step 80, which has the lowest held-out loss: 0.5921" */
export function describeBest(best: BestLora, [base]: readonly EvaluatedStep[]) {
  const lowest = `${nameOfBest(best)}, which has the lowest held-out loss: ${best.heldOutLoss.toFixed(4)}`
  const isWorse = base?.step === 0 && base.heldOutLoss !== undefined && base.heldOutLoss < best.heldOutLoss
  return isWorse ? `${lowest}, but ${base.heldOutLoss?.toFixed(4)} without a LoRA` : lowest
}

/** Undefined before the first evaluation of a trained LoRA on held-out pairs. Of equal losses the first one is the best. */
export function bestLora(evaluations: readonly EvaluatedStep[]): BestLora | undefined {
  let best: BestLora | undefined
  for (const { step, heldOutLoss, emaHeldOutLoss } of evaluations) {
    if (step === 0) continue // the base: there is no LoRA to save
    for (const [loss, isAverage] of [[heldOutLoss, false] as const, [emaHeldOutLoss, true] as const])
      if (loss !== undefined && Number.isFinite(loss) && loss < (best?.heldOutLoss ?? Number.POSITIVE_INFINITY))
        best = { step, heldOutLoss: loss, isAverage }
  }
  return best
}

/** Whether the run has a moving average beside its LoRA. */
export const hasAverage = (evaluations: readonly EvaluatedStep[]) =>
  evaluations.some(({ emaHeldOutLoss }) => emaHeldOutLoss !== undefined)

/** How many evaluations have followed the best one. */
export function evaluationsSinceBest(evaluations: readonly EvaluatedStep[]): number {
  const best = bestLora(evaluations)
  return best === undefined ? 0 : evaluations.filter(({ step }) => step > best.step).length
}

/** Whether training ends here. @param patience after so many evaluations without a lower held-out loss; 0 is never. */
export const isStalled = (evaluations: readonly EvaluatedStep[], patience: number) =>
  patience > 0 && evaluationsSinceBest(evaluations) >= patience

/** Whether patience ended the training before its last step. */
export const hasEndedEarly = (
  evaluations: readonly EvaluatedStep[],
  { patience, numberOfSteps }: Pick<TrainSettings, 'patience' | 'numberOfSteps'>,
) => isStalled(evaluations, patience) && (evaluations.at(-1)?.step ?? 0) < numberOfSteps

/** An evaluation in a line of `metrics.jsonl`. */
export const evaluationMetrics = ({ fixedLoss, heldOutLoss, emaFixedLoss, emaHeldOutLoss }: Evaluation) => ({
  fixed_loss: fixedLoss,
  ...(heldOutLoss !== undefined && { held_out_loss: heldOutLoss }),
  ...(emaFixedLoss !== undefined && { ema_fixed_loss: emaFixedLoss }),
  ...(emaHeldOutLoss !== undefined && { ema_held_out_loss: emaHeldOutLoss }),
})

/** The evaluation in a line of `metrics.jsonl`; undefined where it has none. A loss that is not finite was written as null. */
export function evaluationOf(line: object): EvaluatedStep | undefined {
  const { step, fixed_loss, held_out_loss, ema_fixed_loss, ema_held_out_loss } = line as Record<string, unknown>
  if (typeof step !== 'number' || fixed_loss === undefined) return undefined
  const loss = (value: unknown) => (typeof value === 'number' ? value : Number.NaN)
  return {
    step,
    fixedLoss: loss(fixed_loss),
    ...(held_out_loss !== undefined && { heldOutLoss: loss(held_out_loss) }),
    ...(ema_fixed_loss !== undefined && { emaFixedLoss: loss(ema_fixed_loss) }),
    ...(ema_held_out_loss !== undefined && { emaHeldOutLoss: loss(ema_held_out_loss) }),
  }
}
