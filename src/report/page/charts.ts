/** Charts as markup: lines over steps as SVG, with round numbers on the axes and the latest values in the legend, and horizontal bars. */
import { countText } from '../../platform/text.ts'
import { html, type Markup } from './page.ts'

export type Series = {
  name: string
  points: readonly (readonly [x: number, y: number])[]
  /** Whether to draw dots, for few values, instead of a line. */
  dots?: boolean
}

/** A vertical line with a few words. */
export type ChartMark = { x: number; text: string }

export type LineChart = {
  title: string
  series: readonly Series[]
  /** The last x of the axis, which begins at 0. By default the largest of the values. */
  lastX?: number
  /** Formats a value for the legend. */
  format?: (value: number) => string
  marks?: readonly ChartMark[]
  note?: string
}

const [width, height] = [440, 220]
const [left, right, top, bottom] = [60, 10, 10, 28]

/** The number of `series` classes in the style. Pages of the server allow no style in attributes. */
const seriesColorCount = 4

/** Points that are not finite are left out; a series keeps its color, also where others are empty. */
export function lineChart({ title, series, lastX, note, marks = [], format = axisNumber }: LineChart): Markup {
  const drawn = series.flatMap(({ points, ...rest }, i) => {
    const finite = points.filter((point) => point.every(Number.isFinite))
    return finite.length > 0 ? [{ ...rest, points: finite, color: `series-${i % seriesColorCount}` }] : []
  })
  const points = drawn.flatMap(({ points }) => points)
  const caption = html`<figcaption><strong>${title}</strong>${note !== undefined && html`<small>${note}</small>`}${points.length === 0 && html`<small>no values yet</small>`}</figcaption>`
  if (points.length === 0) return html`<figure>${caption}</figure>`
  const end = Math.max(lastX ?? 0, ...extent(points.map(([x]) => x)), 1)
  const [xTicks, yTicks] = [stepTicks(end), ticks(points.map(([, y]) => y))]
  const x = scale([0, end], left, width - right)
  const y = scale(yTicks, height - bottom, top)
  const axisY = y(yTicks[0] as number)
  const yTexts = tickTexts(yTicks)
  return html`<figure>${caption}
<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
${yTicks.map((tick, i) => html`<line class="grid" x1="${left}" x2="${width - right}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${left - 6}" y="${y(tick)}" dy=".35em" text-anchor="end">${yTexts[i]}</text>`)}
${xTicks.map((tick) => html`<text x="${x(tick)}" y="${height - 8}" text-anchor="${tick === end ? 'end' : 'middle'}">${axisNumber(tick)}</text>`)}
<line class="axis" x1="${left}" x2="${width - right}" y1="${axisY}" y2="${axisY}"/>
${marks.map((mark, i) => markLine(mark, x, top + 12 + 16 * i))}
${drawn.map((series) => (series.dots || series.points.length === 1 ? dots(series, x, y) : line(series, x, y)))}
</svg>
<div class="legend">${drawn.map(({ name, points, color }) => html`<span class="${color}">${name} <b>${format(points.at(-1)?.[1] as number)}</b></span>`)}</div></figure>\n`
}

type Scale = (value: number) => number

/** @param textY where its words stand: each mark has a line of its own. They stand on the side that has more room. */
function markLine({ x: at, text }: ChartMark, x: Scale, textY: number): Markup {
  const isRight = x(at) > (left + width - right) / 2
  return html`<line class="mark" x1="${x(at)}" x2="${x(at)}" y1="${top}" y2="${height - bottom}"/><text x="${x(at) + (isRight ? -5 : 5)}" y="${textY}" text-anchor="${isRight ? 'end' : 'start'}">${text}</text>`
}

/** The color is a class. */
type DrawnSeries = Series & { color: string }

const line = ({ points, color }: DrawnSeries, x: Scale, y: Scale): Markup =>
  html`<path class="line ${color}" d="M${points.map(([px, py]) => `${x(px)} ${y(py)}`).join('L')}"/>`

const dots = ({ points, color }: DrawnSeries, x: Scale, y: Scale): Markup =>
  html`${points.map(([px, py]) => html`<circle class="${color}" r="4" cx="${x(px)}" cy="${y(py)}"><title>step ${axisNumber(px)}: ${axisNumber(py)}</title></circle>`)}`

/** Maps values linearly to positions: the first tick to `from`, the last one to `to`. */
function scale(ticks: readonly number[], from: number, to: number): Scale {
  const [low, high] = [ticks[0] as number, ticks.at(-1) as number]
  return (value) => Math.round(10 * (from + ((value - low) / (high - low)) * (to - from))) / 10
}

/** 0.3 / 0.1 is slightly less than 3. */
const rounding = 1e-9

/** A smaller span, as a share of the values, is that of a constant. */
const smallestSpan = 1e-9

/** Round numbers at equal distances, from below the smallest to above the largest value: usually four to six. The axis of a constant begins at 0. */
export function ticks(values: readonly number[]): number[] {
  const [lowest, highest] = extent(values)
  const isConstant = highest - lowest <= smallestSpan * Math.max(Math.abs(lowest), Math.abs(highest))
  const [low, high] = isConstant ? [Math.min(0, lowest), Math.max(0, highest)] : [lowest, highest]
  const step = roundStep(high - low || 1)
  const first = Math.floor(low / step + rounding)
  const last = Math.max(first + 1, Math.ceil(high / step - rounding))
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

/** Whole round numbers from 0 on, as far as their texts do not overlap with that of the last step, and the last step, where the axis ends. */
export function stepTicks(lastStep: number): number[] {
  const round = roundStep(lastStep)
  const step = Number.isInteger(round) ? round : round < 1 ? 1 : 5
  const gap = widthOfDigit * String(lastStep).length * lastStep
  const before = Array.from({ length: Math.ceil(lastStep / step) }, (_, i) => i * step)
  return [...before.filter((tick) => lastStep - tick >= gap), lastStep]
}

/** As a share of the axis, with half of the text to the left and some space. */
const widthOfDigit = 0.04

/** A quarter of the span, rounded up to 1, 2, 2.5, 5 or 10 times a power of ten. */
function roundStep(span: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(span / 4))
  return magnitude * ([1, 2, 2.5, 5, 10].find((factor) => factor * magnitude >= span / 4) as number)
}

const extent = (values: readonly number[]): [low: number, high: number] => [
  values.reduce((least, value) => Math.min(least, value), Infinity),
  values.reduce((most, value) => Math.max(most, value), -Infinity),
]

/** With as many digits as it takes to tell the ticks apart. */
function tickTexts(ticks: readonly number[]): string[] {
  const texts = [3, 6, 9].map((digits) => ticks.map((tick) => numberText(tick, digits)))
  return texts.find((list) => new Set(list).size === list.length) ?? (texts.at(-1) as string[])
}

/** Three significant digits, without trailing zeros: `0.431`, `2000`, `1e−4`, `2.5e6`. */
export const axisNumber = (value: number): string => numberText(value, 3)

function numberText(value: number, digits: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  const hasExponent = size < 1e-3 || size >= 1e6
  const rounded = Number(value.toPrecision(size >= 1000 && !hasExponent ? Math.max(6, digits) : digits))
  const text = hasExponent ? rounded.toExponential() : String(rounded)
  return text.replace('e+', 'e').replaceAll('-', '−')
}

export type Bar = { label: string; value: number; chosen?: boolean }

/** Horizontal bars with their values. @param noun what the values count: `pair`. */
export function barChart(bars: readonly Bar[], noun: string): Markup {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  return html`<div class="bars">${bars.map(
    ({ label, value, chosen = false }) =>
      html`<span${chosen && html` class="chosen"`}>${label}</span><svg aria-hidden="true"><rect width="${((100 * value) / most).toFixed(1)}%" height="100%"/></svg><span${chosen && html` class="chosen"`}>${countText(value, noun)}</span>`,
  )}</div>`
}
