/** The verdicts on the losses of a run in words, with advice. */
import { countText } from '../platform/text.ts'

export type Facts = {
  /** What the held-out loss is called: whether it is that of the LoRA or of its moving average, where there are both. */
  loss: string
  /** Whether `patience` ended the training. */
  endedEarly: boolean
  /** Since when. */
  since: number
  /** The last step. */
  last: number
  /** The held-out losses of the base, at its lowest and at the last step. */
  base: number
  lowest: number
  end: number
}

/** The name of a held-out loss. @param isAverage undefined where the run has no moving average. */
export const heldOutLossName = (isAverage: boolean | undefined): string =>
  isAverage === undefined
    ? 'the held-out loss'
    : `the held-out loss of the ${isAverage ? 'moving average' : 'LoRA itself'}`

const shown = (loss: number) => loss.toFixed(4)

export const tooFew = (evaluations: number, needed: number) =>
  `Too few evaluations to say how training went: there are ${evaluations}, and at least ${needed} are needed; a smaller --eval-interval gives more.`

/** @param since the step with the lowest loss, or the first one. */
export const unstable = (since: number) =>
  `Unstable since step ${since}: the loss has risen on held-out pairs and on those that are trained on; use a lower --learning-rate.`

/** Only the held-out loss is known to have risen. */
export const worse = ({ loss, last, base, end }: Facts) =>
  `Worse than without the LoRA: after ${last} steps ${loss} is ${shown(end)}, and ${shown(base)} without it; use a lower --learning-rate, or train with more pairs.`

export const overfitting = ({ loss, since, base, lowest, end }: Facts) =>
  `Overfitting since step ${since}: ${loss} fell from ${shown(base)} to ${shown(lowest)} until then and has risen to ${shown(end)} since, so the LoRA now learns the training pairs by heart; use best.safetensors, or train for fewer steps, with a lower rank or with more pairs.`

/** @param training the losses of the base and at the end on the pairs that are trained on. */
export const notTransferred = ({ loss, base, end }: Facts, training: { base: number; end: number }) =>
  `Overfitting from the beginning: the training loss went from ${shown(training.base)} to ${shown(training.end)}, ${loss} from ${shown(base)} to ${shown(end)}, so the LoRA learns the training pairs and not what they have in common; train with more pairs, a lower rank or a lower learning rate.`

export const tooWeak = ({ loss, last, base, end }: Facts) =>
  `Too weak: after ${last} steps ${loss} is ${shown(end)}, and ${shown(base)} without the LoRA; train for more steps, with a higher rank or a higher learning rate, and let inspect-dataset show whether the pairs have one change in common.`

/** @param trend how many evaluations it is over, the step of the first one, and the change from there to the last one. */
export const learning = (facts: Facts, trend: { count: number; from: number; change: number }) =>
  `Still learning: ${facts.loss} fell from ${shown(facts.base)} to ${shown(facts.lowest)}, and its trend over the last ${trend.count} evaluations, from step ${trend.from} on, is still downwards, by ${shown(-trend.change)}; ${moreSteps(facts)}.`

/** @param level the loss in the last part of the run. */
export const converged = ({ loss, since, base }: Facts, level: number) =>
  `Converged: ${loss} fell from ${shown(base)} to about ${shown(level)} and has changed little since step ${since}; more steps may not help much, a higher rank or more pairs might.`

/** @param rise the largest one from one evaluation to the next. */
export const noisy = ({ loss, base, end }: Facts, rise: number) =>
  `Too noisy to tell: ${loss} went from ${shown(base)} to ${shown(end)}, but rose by up to ${shown(rise)} from one evaluation to the next; use a lower --learning-rate, or hold out more pairs.`

/** @param count the evaluations of a trained LoRA. @param trend the change in its last part with its error; undefined where there are too few. */
export const undecided = (facts: Facts, count: number, trend: { change: number; error: number } | undefined) => {
  const why = trend
    ? `its trend in the last part of the run, ${signed(trend.change)} ± ${shown(trend.error)}, does not tell whether it still falls`
    : `${countText(count, 'evaluation')} of a trained LoRA are too few to tell whether it still falls`
  const beginning = facts.endedEarly ? 'Ended by --patience, which does not mean converged' : 'Not clear yet'
  return `${beginning}: ${facts.loss} fell from ${shown(facts.base)} to ${shown(facts.lowest)}, and ${why}; ${moreSteps(facts)}.`
}

const signed = (change: number) => `${change < 0 ? '−' : '+'}${shown(Math.abs(change))}`

const moreSteps = ({ endedEarly, last }: Facts) =>
  endedEarly
    ? 'resume with a larger --patience, or 0, to train on'
    : `train for more steps, for example --number-of-steps ${roundSteps(1.5 * last)}`

/** To two digits. */
const roundSteps = (steps: number) => Number(Math.round(steps).toPrecision(2))
