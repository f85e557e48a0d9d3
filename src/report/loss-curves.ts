/** How a training goes, as four charts. */

import { mean } from '../platform/statistics.ts'
import { lineChart, type Series } from './page/charts.ts'
import { html, type Markup } from './page/page.ts'

const mostPoints = 300
/** About the last fifty steps; a band sees a quarter of them. */
const smoothing = 0.04
const bandSmoothing = 0.1

export function lossCharts(steps: readonly StepMetrics[]): Markup {
  const loss = curveOf(steps, ({ loss }) => loss)
  const fixed = curveOf(steps, ({ fixed_loss }) => fixed_loss)
  const bands = lossBySigma(steps).map(({ name, points }) => line(name, smoothed(points, bandSmoothing)))
  const seconds = curveOf(steps, ({ seconds }) => seconds)
  return html`<div class="charts">${lineChart({
    title: 'Loss',
    note: 'Fixed: over the same pairs and noises each time; the one to watch.',
    series: [line('smoothed', smoothed(loss, smoothing)), { name: 'fixed', points: fixed, dots: true }],
    format: fourDigits,
  })}${lineChart({ title: 'Loss by noise level', series: bands, note: 'Smoothed. Sigma 1 is noise alone.', format: fourDigits })}${lineChart(
    {
      title: 'Learning rate',
      series: [
        line(
          'learning rate',
          curveOf(steps, ({ learning_rate }) => learning_rate),
        ),
      ],
    },
  )}${lineChart({
    title: 'Seconds per step',
    series: [line('median of neighbours', medians(seconds))],
    format: (value) => `${value.toFixed(2)} s`,
  })}</div>`
}

const line = (name: string, points: readonly Point[]): Series => ({ name, points: thinnedCurve(points, mostPoints) })

const fourDigits = (value: number) => value.toFixed(4)

const neighbours = 5

/** One slow step, such as the first, should not flatten the rest of the chart. */
const medians = (points: readonly Point[]): Point[] =>
  points.map(([step], i) => {
    const near = points.slice(Math.max(0, i - neighbours), i + neighbours + 1).map(([, value]) => value)
    return [step, near.sort((a, b) => a - b)[Math.floor(near.length / 2)] as number] as const
  })

/** `metrics.jsonl` as curves: smoothed, by noise level, and thinned to what a chart can show. Pure. */

/** One line of the file. Step 0 has no loss of its own. */
export type StepMetrics = {
  step: number
  loss?: number
  learning_rate?: number
  gradient_norm?: number
  sigmas?: number[]
  pairs?: string[]
  seconds?: number
  fixed_loss?: number
}

export type Point = readonly [step: number, value: number]

/** The lines that are whole; the last one may be cut off while it is written. */
export const parseMetrics = (text: string): StepMetrics[] =>
  text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as StepMetrics]
    } catch {
      return []
    }
  })

/** A number of each step that has it. */
export const curveOf = (steps: readonly StepMetrics[], value: (step: StepMetrics) => number | undefined): Point[] =>
  steps.flatMap((step) => {
    const number = value(step)
    return number === undefined || !Number.isFinite(number) ? [] : [[step.step, number] as const]
  })

/** An exponential mean, without the bias of its start. @param weight of the newest value */
export function smoothed(points: readonly Point[], weight: number): Point[] {
  let [mean, known] = [0, 0]
  return points.map(([step, value]) => {
    mean += weight * (value - mean)
    known += weight * (1 - known)
    return [step, mean / known] as const
  })
}

export type Band = { name: string; points: Point[] }

const edges = [0, 0.25, 0.5, 0.75, 1]

/** The loss at each quarter of noise levels: a step belongs to that of its mean sigma. */
export function lossBySigma(steps: readonly StepMetrics[]): Band[] {
  const bandOf = ({ sigmas = [] }: StepMetrics) => {
    const sigma = mean(sigmas)
    return Math.min(edges.length - 2, Math.floor(sigma * (edges.length - 1)))
  }
  return edges.slice(0, -1).map((low, band) => ({
    name: `sigma ${low}–${edges[band + 1]}`,
    points: curveOf(
      steps.filter((step) => step.sigmas?.length && bandOf(step) === band),
      ({ loss }) => loss,
    ),
  }))
}

/** At most `most` points, each the mean of its neighbours; the last one is always there. */
export function thinnedCurve(points: readonly Point[], most: number): Point[] {
  if (points.length <= most) return [...points]
  const size = points.length / most
  return Array.from({ length: most }, (_, i) => {
    const group = points.slice(Math.floor(i * size), Math.floor((i + 1) * size))
    const average = mean(group.map(([, value]) => value))
    return [group.at(-1)?.[0] as number, average] as const
  })
}
