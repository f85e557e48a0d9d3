/**
 * What the losses of a run's evaluations say about its training. Noise and noise levels are the same in every evaluation, so the curves are smooth but for
 * the jitter of the LoRA itself from step to step. With h the held-out loss of the curve that `best.safetensors` is chosen from, the LoRA or its moving
 * average, and t the loss of the same on the pairs that are trained on, the criteria are, in this order:
 *
 *   unknown       fewer than three evaluations
 *   unstable      h has risen since its lowest block, and t by more than a quarter as much since then; or both are above the losses of the base
 *   overfitting   h has risen since its lowest block, and t has not
 *   learning      h fell, and in the last part of the run its trend falls by more than 5 % of the whole fall
 *   overfitting   t fell, and h by less than a quarter as much: from the beginning
 *   converged     h fell, and in the last part of the run its trend changes by at most 5 % of the whole fall, with the uncertainty of the trend
 *   noisy         h rises between two evaluations by more than half of its whole fall
 *   unstable      h ends more than 1 % above the loss of the base
 *   too-weak      h did not fall
 *   unknown       else: it is not known whether h still falls
 *
 * Blocks are means over a quarter of all evaluations. The last part has a third of the evaluations, at least six; its trend is the median of the slopes
 * between all pairs of them, times its length. With fewer than six evaluations of a trained LoRA nothing is called converged, and `learning` needs two
 * falls at the end, the last by more than 5 % of the whole fall.
 *
 * "Fell" means by more than 1 % of the loss of the base; "has risen" by more than a tenth of the fall and more than 0.2 % of the loss of the base (1 % where
 * h did not fall). A change must also exceed twice the standard error that the jitter explains; with fewer than six evaluations, which are too few to know the
 * jitter, a rise must be more than 0.3 of the fall.
 */
import { mean, median, medianSlope, sum } from '../platform/statistics.ts'
import { bestLora, type EvaluatedStep, hasAverage } from './evaluation.ts'
import * as sentences from './learning-sentences.ts'

export type LearningVerdict = {
  word: 'unknown' | 'noisy' | 'unstable' | 'overfitting' | 'too-weak' | 'learning' | 'converged'
  /** Since when: the step with the lowest held-out loss, or that from which on a converged one has changed little. */
  since?: number
  /** The verdict in words, with advice. */
  sentence: string
}

const fewestEvaluations = 3
/** With fewer the jitter cannot be told from the curve. */
const fewestForJitter = 6
/** The last part of the run, in which the trend is measured. */
const lastPart = { share: 1 / 3, fewest: 6 }
/** As shares of the loss of the base. */
const [smallestFall, smallestRise] = [0.01, 0.002]
/** As shares of the fall. */
const [riseShare, riseShareOfFew, trendShare, noisyShare] = [0.1, 0.3, 0.05, 0.5]
/** As a share of the fall of the training loss. */
const transferShare = 0.25
/** In standard errors. */
const significance = 2

/**
 * @param evaluations in the order of their steps; the first one is of the base, where the run has it. Those without finite losses are left out.
 * @param options.endedEarly whether the held-out loss has not fallen for so long that training ended before its last step.
 */
export function learningVerdict(
  evaluations: readonly EvaluatedStep[],
  { endedEarly = false }: { endedEarly?: boolean } = {},
): LearningVerdict {
  const isAverage = bestLora(evaluations)?.isAverage === true
  const points = curveIn(evaluations, isAverage)
  if (points.length < fewestEvaluations)
    return { word: 'unknown', sentence: sentences.tooFew(points.length, fewestEvaluations) }
  const heldOut = curveOf(points.map(({ heldOutLoss }) => heldOutLoss))
  const training = curveOf(points.map(({ fixedLoss }) => fixedLoss))
  const steps = points.map(({ step }) => step)
  const lowest = heldOut.values.indexOf(Math.min(...heldOut.values))
  const lowestBlock = heldOut.blocks.indexOf(Math.min(...heldOut.blocks))
  const fall = heldOut.base - (heldOut.blocks[lowestBlock] as number)
  const since = steps[lowest] as number
  const facts: sentences.Facts = {
    loss: sentences.heldOutLossName(hasAverage(evaluations) ? isAverage : undefined),
    endedEarly,
    since,
    last: steps.at(-1) as number,
    base: heldOut.base,
    lowest: heldOut.values[lowest] as number,
    end: heldOut.values.at(-1) as number,
  }
  const fell = fall > Math.max(smallestFall * heldOut.base, heldOut.error)
  const isAboveBase = (curve: Curve) =>
    endOf(curve) > Math.max((1 + smallestFall) * curve.base, curve.base + curve.error)
  if (isAboveBase(heldOut) && isAboveBase(training)) {
    const first = steps[0] as number
    return { word: 'unstable', since: first, sentence: sentences.unstable(first) }
  }
  const notTransferred = (): LearningVerdict => {
    const sentence = sentences.notTransferred(facts, { base: training.base, end: endOf(training) })
    return { word: 'overfitting', since: 0, sentence }
  }
  const worse = (): LearningVerdict => ({
    word: 'unstable',
    since: steps[0] as number,
    sentence: sentences.worse(facts),
  })
  const rise = riseSince(heldOut, lowestBlock)
  const smallestShare = points.length < fewestForJitter ? riseShareOfFew : riseShare
  if (rise > Math.max(smallestShare * fall, (fell ? smallestRise : smallestFall) * heldOut.base, heldOut.error)) {
    if (riseSince(training, lowestBlock) > Math.max(rise / 4, training.error))
      return { word: 'unstable', since, sentence: sentences.unstable(since) }
    if (fell) return { word: 'overfitting', since, sentence: sentences.overfitting(facts) }
    return endOf(training) < training.base ? notTransferred() : worse()
  }
  const trend = trendOf(steps, heldOut)
  const { start, count, change, error } = trend ?? { ...trendOfFew(heldOut.values), error: 0 }
  if (fell && -change > Math.max(trendShare * fall, error)) {
    const sentence = sentences.learning(facts, { change, count, from: steps[start] as number })
    return { word: 'learning', sentence }
  }
  const trainingFall = training.base - endOf(training)
  const hasTrainingFallen = trainingFall > Math.max(smallestFall * training.base, training.error)
  if (hasTrainingFallen && fall < transferShare * trainingFall) return notTransferred()
  const settled = fell && trend ? settledSince(heldOut, trend, trendShare * fall) : undefined
  if (settled !== undefined) {
    const level = median(heldOut.values.slice(start))
    const since = steps[settled] as number
    return { word: 'converged', since, sentence: sentences.converged({ ...facts, since }, level) }
  }
  const largestRise = Math.max(...heldOut.values.slice(2).map((loss, i) => loss - (heldOut.values[i + 1] as number)))
  if (largestRise > noisyShare * Math.max(fall, 2 * smallestFall * heldOut.base))
    return { word: 'noisy', sentence: sentences.noisy(facts, largestRise) }
  if (!fell && facts.end > (1 + smallestFall) * heldOut.base) return worse()
  if (!fell) return { word: 'too-weak', sentence: sentences.tooWeak(facts) }
  return { word: 'unknown', sentence: sentences.undecided(facts, steps.length - 1, trend) }
}

/** The finite losses of the LoRA, or of its moving average. */
const curveIn = (evaluations: readonly EvaluatedStep[], isAverage: boolean) =>
  evaluations.flatMap(({ step, emaFixedLoss, emaHeldOutLoss, ...ofLora }) => {
    const [fixedLoss = Number.NaN, heldOutLoss = Number.NaN] = isAverage
      ? [emaFixedLoss, emaHeldOutLoss]
      : [ofLora.fixedLoss, ofLora.heldOutLoss]
    return Number.isFinite(fixedLoss) && Number.isFinite(heldOutLoss) ? [{ step, fixedLoss, heldOutLoss }] : []
  })

type Curve = {
  values: readonly number[]
  /** The first value. */
  base: number
  blockLength: number
  /** The means of all blocks of neighbouring values, without the base: the loss falls steeply after it. */
  blocks: readonly number[]
  /** The standard deviation of the jitter; 0 where it is not known. */
  jitter: number
  /** The largest difference of two blocks that the jitter explains. */
  error: number
}

function curveOf(values: readonly number[]): Curve {
  const [base = Number.NaN, ...trained] = values
  const blockLength = Math.max(1, Math.round(trained.length / 4))
  const blocks = trained.slice(blockLength - 1).map((_, i) => mean(trained.slice(i, i + blockLength)))
  const jitter = jitterOf(trained)
  return { values, base, blockLength, blocks, jitter, error: significance * jitter * Math.sqrt(2 / blockLength) }
}

const endOf = ({ blocks }: Curve) => blocks.at(-1) as number

const riseSince = (curve: Curve, block: number) => endOf(curve) - (curve.blocks[block] as number)

/** From the second differences, in which a smooth curve has little part. */
function jitterOf(values: readonly number[]): number {
  const differences = values.slice(2).map((value, i) => value - 2 * (values[i + 1] as number) + (values[i] as number))
  if (values.length + 1 < fewestForJitter) return 0
  return deviationOf(differences) / Math.sqrt(6)
}

/** The standard deviation of normal numbers with the mean 0, whatever a few outliers are. */
const deviationOf = (values: readonly number[]) => median(values.map(Math.abs)) / normalMedian

/** The median of the absolute value of a standard normal number. */
const normalMedian = 0.6745

type Trend = {
  /** The index of its first evaluation, and the number of its evaluations. */
  start: number
  count: number
  /** From its first evaluation to its last one, and the largest change that the jitter explains. */
  change: number
  error: number
  /** The standard deviation of the evaluations around the trend. */
  jitter: number
}

/** The trend in the last part of the run; undefined where too few evaluations followed the base. */
function trendOf(steps: readonly number[], { values, jitter }: Curve): Trend | undefined {
  const trained = values.length - 1
  if (trained < lastPart.fewest) return undefined
  const count = Math.max(lastPart.fewest, Math.ceil(lastPart.share * trained))
  const start = values.length - count
  const points = values.slice(start).map((value, i) => [steps[start + i] as number, value] as const)
  const slope = medianSlope(points)
  const offsets = points.map(([step, value]) => value - slope * step)
  const level = median(offsets)
  const deviation = Math.max(jitter, deviationOf(offsets.map((offset) => offset - level)))
  const center = mean(points.map(([step]) => step))
  const spread = Math.sqrt(sum(points.map(([step]) => (step - center) ** 2)))
  const length = (steps.at(-1) as number) - (steps[start] as number)
  const error = (significance * deviation * length) / spread
  return { start, count, change: slope * length, error, jitter: deviation }
}

/** The last change of few evaluations, where it is a fall and the one before it was, too. */
function trendOfFew(values: readonly number[]): Pick<Trend, 'start' | 'count' | 'change'> {
  const [first = 0, middle = 0, last = 0] = values.slice(-3)
  return { start: values.length - 3, count: 3, change: first > middle && middle > last ? last - middle : 0 }
}

/**
 * The first index from which on the curve has changed little: at the latest that of the first evaluation of the trend. Undefined where the trend, with its
 * error, or an evaluation of it is out of the tolerance.
 */
function settledSince({ values }: Curve, { start, change, error, jitter }: Trend, tolerance: number) {
  if (Math.abs(change) + error > tolerance) return undefined
  const level = median(values.slice(start))
  const isNear = (loss: number) => Math.abs(loss - level) <= tolerance + significance * jitter
  const since = values.findLastIndex((loss) => !isNear(loss)) + 1
  return since <= start ? since : undefined
}
