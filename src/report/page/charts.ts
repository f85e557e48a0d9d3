/** Charts as markup: lines over steps as SVG, with round numbers on the axes and the latest values in the legend, and horizontal bars. */
import { html, type Markup } from './page.ts'

export type Series = {
  name: string
  points: readonly (readonly [x: number, y: number])[]
  /** Whether to draw dots, for few values, instead of a line. */
  dots?: boolean
}

export type LineChart = {
  title: string
  series: readonly Series[]
  /** Formats a value for the legend. */
  format?: (value: number) => string
  note?: string
}

const [width, height] = [440, 220]
const [left, right, top, bottom] = [60, 10, 10, 28]

/** The number of `--series` colors in the style. */
const seriesColorCount = 4

export function lineChart({ title, series, note, format = axisNumber }: LineChart): Markup {
  const drawn = series.filter(({ points }) => points.length > 0)
  const points = drawn.flatMap(({ points }) => points)
  if (points.length === 0)
    return html`<figure><figcaption><strong>${title}</strong><small>no values yet</small></figcaption></figure>`
  const xTicks = ticks(points.map(([x]) => x))
  const yTicks = ticks(points.map(([, y]) => y))
  const x = scale(xTicks, left, width - right)
  const y = scale(yTicks, height - bottom, top)
  return html`<figure><figcaption><strong>${title}</strong>${note !== undefined && html`<small>${note}</small>`}</figcaption>
<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
${yTicks.map((tick) => html`<line class="grid" x1="${left}" x2="${width - right}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${left - 6}" y="${y(tick)}" dy=".35em" text-anchor="end">${axisNumber(tick)}</text>`)}
${xTicks.map((tick, i) => html`<text x="${x(tick)}" y="${height - 8}" text-anchor="${i === xTicks.length - 1 ? 'end' : 'middle'}">${axisNumber(tick)}</text>`)}
<line class="axis" x1="${left}" x2="${width - right}" y1="${y(yTicks[0] as number)}" y2="${y(yTicks[0] as number)}"/>
${drawn.map((series, i) => (series.dots ? dots(series, i, x, y) : line(series, i, x, y)))}
</svg>
<div class="legend">${drawn.map((series, i) => html`<span style="--mark:${seriesColor(i)}">${series.name} <b>${format(latest(series))}</b></span>`)}</div></figure>\n`
}

type Scale = (value: number) => number

const seriesColor = (i: number) => `var(--series-${i % seriesColorCount})`

const line = ({ points }: Series, i: number, x: Scale, y: Scale): Markup =>
  html`<path class="line" style="stroke:${seriesColor(i)}" d="M${points.map(([px, py]) => `${x(px)} ${y(py)}`).join('L')}"/>`

const dots = ({ points }: Series, i: number, x: Scale, y: Scale): Markup =>
  html`${points.map(([px, py]) => html`<circle style="fill:${seriesColor(i)}" r="4" cx="${x(px)}" cy="${y(py)}"><title>${axisNumber(px)}: ${axisNumber(py)}</title></circle>`)}`

const latest = ({ points }: Series) => points.at(-1)?.[1] as number

/** Maps values linearly to positions: the first tick to `from`, the last one to `to`. */
function scale(ticks: readonly number[], from: number, to: number): Scale {
  const [low, high] = [ticks[0] as number, ticks.at(-1) as number]
  return (value) => Math.round(10 * (from + ((value - low) / (high - low)) * (to - from))) / 10
}

/** 0.3 / 0.1 is slightly less than 3. */
const rounding = 1e-9

/** Round numbers at equal distances, from below the smallest to above the largest value: usually four to six. */
export function ticks(values: readonly number[]): number[] {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity)
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity)
  const span = high - low || Math.abs(high) || 1
  const magnitude = 10 ** Math.floor(Math.log10(span / 4))
  const step = magnitude * ([1, 2, 2.5, 5, 10].find((factor) => factor * magnitude >= span / 4) as number)
  const first = Math.floor(low / step + rounding)
  const last = Math.max(first + 1, Math.ceil(high / step - rounding))
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

/** Three significant digits, without trailing zeros: `0.431`, `2000`, `1e−4`. */
export function axisNumber(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size < 1e-3) return value.toExponential(1).replace('.0e', 'e').replace('-', '−')
  return String(Number(value.toPrecision(size >= 1000 ? 6 : 3))).replace('-', '−')
}

export type Bar = { label: string; value: number; chosen?: boolean }

/** Horizontal bars with their values. */
export function barChart(bars: readonly Bar[]): Markup {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  return html`<div class="bars">${bars.map(
    ({ label, value, chosen = false }) =>
      html`<span${chosen && html` class="chosen"`}>${label}</span><div><div style="height:100%;width:${((100 * value) / most).toFixed(1)}%"></div></div><span${chosen && html` class="chosen"`}>${value}</span>`,
  )}</div>`
}
