/**
 * What the losses of a run's evaluations say about its training. Noise and noise levels are the same in every evaluation, so the curves are smooth but for
 * the jitter of the LoRA itself from step to step. To average it out, means over blocks of neighbouring evaluations are compared, each as long as a quarter
 * of all. With h the held-out loss and t that of the pairs that are trained on, the criteria are, in this order:
 *
 *   unknown       fewer than three evaluations
 *   unstable      h has risen since its lowest block, and t by more than half as much since then; or both are above the losses of the base
 *   overfitting   h has risen since its lowest block, and t has not
 *   learning      h fell, and from the last but one block to the last by more than 5 % of its whole fall
 *   overfitting   t fell, and h by less than a quarter as much: from the beginning
 *   too-weak      h did not fall
 *   converged     else
 *
 * "Fell" means by more than 1 % of the loss of the base; "has risen" by more than a tenth of the fall and more than 0.2 % of the loss of the base (1 % where
 * h did not fall). A change must also exceed twice the standard error that the jitter explains; with fewer than six evaluations, which are too few to know the
 * jitter, a rise must be more than 0.3 of the fall.
 */
import { mean, median } from '../platform/statistics.ts'

export type LearningVerdict = {
  word: 'unknown' | 'unstable' | 'overfitting' | 'too-weak' | 'learning' | 'converged'
  /** Since when: the step with the lowest held-out loss, or that after which a converged one hardly changed. */
  since?: number
  /** The verdict in words, with advice. */
  sentence: string
}

/** The losses at a step. Evaluations without a finite held-out loss are left out. */
export type LossPoint = { step: number; fixedLoss: number; heldOutLoss?: number | undefined }

const fewestEvaluations = 3
/** With fewer the jitter cannot be told from the curve. */
const fewestForJitter = 6
/** As shares of the loss of the base. */
const [smallestFall, smallestRise] = [0.01, 0.002]
/** As shares of the fall. */
const [riseShare, riseShareOfFew, learningShare] = [0.1, 0.3, 0.05]
/** As a share of the fall of the training loss. */
const transferShare = 0.25
/** In standard errors. */
const significance = 2

/** @param evaluations in the order of their steps; the first one is of the base, where the run has it. */
export function learningVerdict(evaluations: readonly LossPoint[]): LearningVerdict {
  const points = evaluations.flatMap(({ step, fixedLoss, heldOutLoss = Number.NaN }) =>
    Number.isFinite(fixedLoss) && Number.isFinite(heldOutLoss) ? [{ step, fixedLoss, heldOutLoss }] : [],
  )
  if (points.length < fewestEvaluations) return unknown(points.length)
  const heldOut = curveOf(points.map(({ heldOutLoss }) => heldOutLoss))
  const training = curveOf(points.map(({ fixedLoss }) => fixedLoss))
  const steps = points.map(({ step }) => step)
  const lowest = heldOut.values.indexOf(Math.min(...heldOut.values))
  const lowestBlock = heldOut.blocks.indexOf(Math.min(...heldOut.blocks))
  const fall = heldOut.base - (heldOut.blocks[lowestBlock] as number)
  const facts = {
    since: steps[lowest] as number,
    last: steps.at(-1) as number,
    base: heldOut.base,
    lowest: heldOut.values[lowest] as number,
    end: heldOut.values.at(-1) as number,
  }
  const fell = fall > Math.max(smallestFall * heldOut.base, heldOut.error)
  const isAboveBase = (curve: Curve) =>
    endOf(curve) > Math.max((1 + smallestFall) * curve.base, curve.base + curve.error)
  if (isAboveBase(heldOut) && isAboveBase(training)) return unstable({ ...facts, since: steps[0] as number })
  const rise = riseSince(heldOut, lowestBlock)
  const smallestShare = points.length < fewestForJitter ? riseShareOfFew : riseShare
  if (rise > Math.max(smallestShare * fall, (fell ? smallestRise : smallestFall) * heldOut.base, heldOut.error)) {
    if (riseSince(training, lowestBlock) > rise / 2) return unstable(facts)
    return fell ? overfitting(facts) : notTransferred(facts, training)
  }
  const lateFall = (heldOut.blocks.at(-1 - heldOut.blockLength) ?? heldOut.base) - endOf(heldOut)
  if (fell && lateFall > Math.max(learningShare * fall, heldOut.error)) return learning(facts)
  const trainingFall = training.base - endOf(training)
  const hasTrainingFallen = trainingFall > Math.max(smallestFall * training.base, training.error)
  if (hasTrainingFallen && fall < transferShare * trainingFall) return notTransferred(facts, training)
  if (!fell) return tooWeak(facts)
  const isSettled = (loss: number) => Math.abs(loss - endOf(heldOut)) <= Math.max(riseShare * fall, heldOut.error)
  const settled = heldOut.values.findLastIndex((loss) => !isSettled(loss)) + 1
  return converged({ ...facts, since: steps[Math.min(settled, steps.length - 1)] as number })
}

type Curve = {
  values: readonly number[]
  /** The first value. */
  base: number
  blockLength: number
  /** The means of all blocks of neighbouring values, without the base: the loss falls steeply after it. */
  blocks: readonly number[]
  /** The largest difference of two blocks that the jitter explains. */
  error: number
}

function curveOf(values: readonly number[]): Curve {
  const [base = Number.NaN, ...trained] = values
  const blockLength = Math.max(1, Math.round(trained.length / 4))
  const blocks = trained.slice(blockLength - 1).map((_, i) => mean(trained.slice(i, i + blockLength)))
  const error = significance * jitterOf(trained) * Math.sqrt(2 / blockLength)
  return { values, base, blockLength, blocks, error }
}

const endOf = ({ blocks }: Curve) => blocks.at(-1) as number

const riseSince = (curve: Curve, block: number) => endOf(curve) - (curve.blocks[block] as number)

/** The standard deviation of the jitter, from the second differences, in which a smooth curve has little part. 0 where it is not known. */
function jitterOf(values: readonly number[]): number {
  const differences = values.slice(2).map((value, i) => value - 2 * (values[i + 1] as number) + (values[i] as number))
  if (values.length + 1 < fewestForJitter) return 0
  return median(differences.map(Math.abs)) / (normalMedian * Math.sqrt(6))
}

/** The median of the absolute value of a standard normal number. */
const normalMedian = 0.6745

type Facts = {
  since: number
  /** The last step. */
  last: number
  /** The held-out losses of the base, at its lowest and at the last step. */
  base: number
  lowest: number
  end: number
}

const shown = (loss: number) => loss.toFixed(4)

const unknown = (evaluations: number): LearningVerdict => ({
  word: 'unknown',
  sentence: `Too few evaluations to say how training went: there are ${evaluations}, and at least ${fewestEvaluations} are needed; a smaller --eval-interval gives more.`,
})

const unstable = ({ since }: Facts): LearningVerdict => ({
  word: 'unstable',
  since,
  sentence: `Unstable since step ${since}: the loss has risen on held-out pairs and on those that are trained on; use a lower --learning-rate.`,
})

const overfitting = ({ since, base, lowest, end }: Facts): LearningVerdict => ({
  word: 'overfitting',
  since,
  sentence: `Overfitting since step ${since}: the held-out loss fell from ${shown(base)} to ${shown(lowest)} until then and has risen to ${shown(end)} since, so the LoRA now learns the training pairs by heart; use best.safetensors, or train for fewer steps, with a lower rank or with more pairs.`,
})

const notTransferred = ({ base, end }: Facts, training: Curve): LearningVerdict => ({
  word: 'overfitting',
  since: 0,
  sentence: `Overfitting from the beginning: the training loss went from ${shown(training.base)} to ${shown(endOf(training))}, the held-out loss from ${shown(base)} to ${shown(end)}, so the LoRA learns the training pairs and not what they have in common; train with more pairs, a lower rank or a lower learning rate.`,
})

const tooWeak = ({ last, base, end }: Facts): LearningVerdict => ({
  word: 'too-weak',
  sentence: `Too weak: after ${last} steps the held-out loss is ${shown(end)}, and ${shown(base)} without the LoRA; train for more steps, with a higher rank or a higher learning rate, and let inspect-dataset show whether the pairs have one change in common.`,
})

const learning = ({ last, base, end }: Facts): LearningVerdict => ({
  word: 'learning',
  sentence: `Still learning: the held-out loss has fallen from ${shown(base)} to ${shown(end)} and still falls at step ${last}; train for more steps, for example --number-of-steps ${roundSteps(1.5 * last)}.`,
})

const converged = ({ since, base, end }: Facts): LearningVerdict => ({
  word: 'converged',
  since,
  sentence: `Converged: the held-out loss has fallen from ${shown(base)} to ${shown(end)} and has hardly changed since step ${since}; more steps would not help, a higher rank or more pairs might.`,
})

/** To two digits. */
const roundSteps = (steps: number) => Number(Math.round(steps).toPrecision(2))
