/** How a training goes, as four charts. */
import { curveOf, lossBySigma, type Point, type StepMetrics, smoothed, thinnedCurve } from './metrics.ts'
import { html, type Markup } from './page/html.ts'
import { lineChart, type Series } from './page/line-chart.ts'

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
