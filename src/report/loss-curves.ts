/** The charts of a run, and the curves in them: the values of `metrics.jsonl`, smoothed, by noise level, and thinned to what a chart can show. */
import { createMovingAverage, mean, median } from '../platform/statistics.ts'
import { lossSmoothing } from '../train/events.ts'
import { type ChartMark, type LineChart, lineChart, type Series } from './page/charts.ts'
import { html, type Markup } from './page/page.ts'

const maxPoints = 300
/** The weight of the newest value. Each band of noise levels has about a quarter of the steps. */
const bandSmoothing = 0.1

/** The held-out loss beside that of the pairs that are trained on. @param lastStep as of `lossCharts`. */
export function evaluationChart(
  steps: readonly StepMetrics[],
  lastStep: number,
  marks: readonly ChartMark[] = [],
): Markup {
  const series = [
    line(
      'held-out pairs',
      curveOf(steps, ({ held_out_loss }) => held_out_loss),
    ),
    line(
      'training pairs',
      curveOf(steps, ({ fixed_loss }) => fixed_loss),
    ),
    line(
      'held-out pairs, moving average',
      curveOf(steps, ({ ema_held_out_loss }) => ema_held_out_loss),
    ),
    line(
      'training pairs, moving average',
      curveOf(steps, ({ ema_fixed_loss }) => ema_fixed_loss),
    ),
  ]
  return lineChart({
    title: 'Held-out and training loss',
    note: 'The loss over the same pairs, noise levels and noise each time; lower is better. The held-out pairs are not trained on. Their loss says how well the LoRA transforms recordings that it has never seen. Where it rises while the loss on training pairs falls, the LoRA learns the training pairs by heart. The held-out pairs are other recordings than the training pairs, so compare the course of their curves, not their height.',
    series: series.filter(({ points }) => points.length > 0),
    format: fourDigits,
    lastX: lastStep,
    marks,
  })
}

/** @param lastStep the last step of the run so far: all charts end there. */
export function lossCharts(steps: readonly StepMetrics[], lastStep: number): Markup {
  const loss = curveOf(steps, ({ loss }) => loss)
  const fixed = curveOf(steps, ({ fixed_loss }) => fixed_loss)
  const bands = lossBySigma(steps).map(({ name, points }) => line(name, smoothed(points, bandSmoothing)))
  const learningRate = curveOf(steps, ({ learning_rate }) => learning_rate)
  const seconds = curveOf(steps, ({ seconds }) => seconds)
  const charts: LineChart[] = [
    {
      title: 'Loss',
      note: 'How far the predictions of the model are from the right ones: the mean squared error; lower is better. Smoothed: an average over about fifty steps. Fixed: the loss over the same pairs and the same noise each time. It shows best whether the LoRA learns, because the loss of a single step depends mostly on the noise that was drawn.',
      series: [line('smoothed', smoothed(loss, lossSmoothing)), { name: 'fixed', points: fixed, dots: true }],
      format: fourDigits,
    },
    {
      title: 'Loss by noise level',
      note: 'Each step mixes noise into its targets, and the model learns to remove it. The amount (sigma) is drawn at random: 0 % is no noise, 100 % is noise only. Each curve has the steps of a quarter of the noise levels, smoothed.',
      series: bands,
      format: fourDigits,
    },
    {
      title: 'Learning rate',
      note: 'How far one step moves the weights of the LoRA. It follows the schedule in the settings.',
      series: [line('learning rate', learningRate)],
    },
    {
      title: 'Seconds per step',
      note: 'The time of a training step, without previews and checkpoints: the median of eleven neighbouring steps.',
      series: [line('median', runningMedian(seconds))],
      format: (value) => `${value.toFixed(2)} s`,
    },
  ]
  return html`<div class="charts">${charts.map((chart) => lineChart({ ...chart, lastX: lastStep }))}</div>
<p class="faint">Steps are along the horizontal axis. Below each chart are the latest values of its curves.</p>`
}

const line = (name: string, points: readonly Point[]): Series => ({ name, points: thinnedCurve(points, maxPoints) })

const fourDigits = (value: number) => value.toFixed(4)

/** The number of steps before and after each that its median includes. */
const medianReach = 5

/** A median, so that one slow step, such as the first, does not determine the scale of the chart. */
const runningMedian = (points: readonly Point[]): Point[] =>
  points.map(([step], i) => {
    const window = points.slice(Math.max(0, i - medianReach), i + medianReach + 1).map(([, value]) => value)
    return [step, median(window)] as const
  })

/** One line of `metrics.jsonl`. Step 0 has no loss. */
export type StepMetrics = {
  step: number
  loss?: number
  learning_rate?: number
  gradient_norm?: number
  sigmas?: number[]
  pairs?: string[]
  seconds?: number
  fixed_loss?: number
  held_out_loss?: number
  ema_fixed_loss?: number
  ema_held_out_loss?: number
}

/** The value at a step. */
export type Point = readonly [step: number, value: number]

/** Parses the complete lines; others are left out. The last one may be cut off while it is written. */
export const parseMetrics = (text: string): StepMetrics[] =>
  text.split('\n').flatMap((line) => {
    try {
      const metrics: unknown = JSON.parse(line)
      return isStepMetrics(metrics) ? [metrics] : []
    } catch {
      return []
    }
  })

const isStepMetrics = (line: unknown): line is StepMetrics =>
  typeof line === 'object' && line !== null && Number.isInteger((line as { step?: unknown }).step)

/** The values of the steps that have a finite one. */
export const curveOf = (steps: readonly StepMetrics[], value: (step: StepMetrics) => number | undefined): Point[] =>
  steps.flatMap((step) => {
    const number = value(step)
    return number === undefined || !Number.isFinite(number) ? [] : [[step.step, number] as const]
  })

/** An exponential moving average with bias correction. @param weight the weight of the newest value, 0 to 1. */
export function smoothed(points: readonly Point[], weight: number): Point[] {
  const average = createMovingAverage(weight)
  return points.map(([step, value]) => [step, average.add(value)] as const)
}

/** The curve of a range of noise levels. */
export type SigmaBand = { name: string; points: Point[] }

/** The sigmas at which a band ends and the next begins. */
const bandEdges = [0, 0.25, 0.5, 0.75, 1]

/** The loss at each quarter of the noise levels. A step belongs to the quarter of its mean sigma. */
export function lossBySigma(steps: readonly StepMetrics[]): SigmaBand[] {
  const bandOf = ({ sigmas = [] }: StepMetrics) => {
    const sigma = mean(sigmas)
    return Math.min(bandEdges.length - 2, Math.floor(sigma * (bandEdges.length - 1)))
  }
  return bandEdges.slice(0, -1).map((low, band) => ({
    name: `noise ${100 * low}–${100 * (bandEdges[band + 1] as number)} %`,
    points: curveOf(
      steps.filter((step) => step.sigmas?.length && bandOf(step) === band),
      ({ loss }) => loss,
    ),
  }))
}

/** At most `count` points, each the mean of a group of neighbours; the last step is always included. */
export function thinnedCurve(points: readonly Point[], count: number): Point[] {
  if (points.length <= count) return [...points]
  const size = points.length / count
  return Array.from({ length: count }, (_, i) => {
    const group = points.slice(Math.floor(i * size), Math.floor((i + 1) * size))
    const average = mean(group.map(([, value]) => value))
    return [group.at(-1)?.[0] as number, average] as const
  })
}
