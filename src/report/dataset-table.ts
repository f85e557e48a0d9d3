/** A dataset as text for the terminal: every pair and what becomes of it, then the problems, then one line that sums up. */
import { Chalk, type ChalkInstance } from 'chalk'
import Table from 'cli-table3'
import type { Dataset } from '../dataset/dataset.ts'
import type { FitPlan } from '../dataset/fit-plan.ts'
import type { DatasetPair, DatasetSide } from '../dataset/inspection.ts'
import { countOf, type Problem, type Severity } from '../dataset/problem.ts'

/** `columns` is the width to keep to; less than 80 counts as 80. */
export type TableOptions = { columns?: number; color?: boolean }

export function datasetTable(dataset: Dataset, { columns = 100, color = false }: TableOptions = {}): string {
  const chalk = new Chalk({ level: color ? 1 : 0 })
  const parts = [
    dataset.pairs.length > 0 ? pairTable(dataset.pairs, Math.max(80, columns), chalk) : '',
    dataset.problems.map((problem) => problemLines(problem, chalk)).join('\n'),
    summary(dataset, chalk),
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

/** A line of a cell; what is too long for its column is wrapped before it is coloured, or the wrap would cut colour codes. */
type Line = { text: string; paint?: (text: string) => string }

function pairTable(pairs: DatasetPair[], columns: number, chalk: ChalkInstance): string {
  const titles = ['pair', 'reference', 'target', 'outcome', 'caption'].map((text) => [{ text, paint: chalk.bold }])
  const rows = pairs.map((pair): Line[][] => [
    [{ text: pair.name }],
    sideLines(pair.reference, chalk),
    sideLines(pair.target, chalk),
    outcomeLines(pair.plan, chalk),
    [pair.caption ? { text: pair.caption } : { text: '–', paint: chalk.dim }],
  ])
  const colWidths = columnWidths(pairs, columns)
  const cells = (row: Line[][]) => row.map((lines, column) => cell(lines, (colWidths[column] ?? 0) - padding))
  const table = new Table({ head: cells(titles), colWidths, style: { head: [], border: [] } })
  table.push(...rows.map(cells))
  return table.toString()
}

/** A blank on each side. */
const padding = 2

/** Names take what they need, up to half of what sides and outcome leave; captions take the rest. */
function columnWidths(pairs: DatasetPair[], columns: number): number[] {
  const [side, outcome, borders] = [17, 20, 6]
  const rest = columns - 2 * side - outcome - borders
  const name = Math.min(
    Math.floor(rest / 2),
    padding + Math.max('pair'.length, ...pairs.map(({ name }) => name.length)),
  )
  return [name, side, side, outcome, rest - name]
}

function sideLines({ audio }: DatasetSide, chalk: ChalkInstance): Line[] {
  if (!audio) return [{ text: 'unreadable', paint: chalk.red }]
  const { seconds, sampleRate, channelCount, peakDbfs, silent } = audio
  const quiet = silent || peakDbfs === null
  return [
    { text: `${seconds.toFixed(2)} s ${sampleRate / 1000} kHz` },
    {
      text: `${layout(channelCount)} ${quiet ? 'silent' : `${peakDbfs.toFixed(1)} dB`}`,
      paint: quiet ? chalk.yellow : chalk.dim,
    },
  ]
}

const layout = (channels: number) => ({ 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' })[channels] ?? `${channels} ch`

function outcomeLines(plan: FitPlan, chalk: ChalkInstance): Line[] {
  if (!plan.use) return [{ text: 'skipped', paint: chalk.yellow }, ...plan.reason.split(', ').map((text) => ({ text }))]
  const fits = (['reference', 'target'] as const).map((side) => ({ side, fit: plan[side] }))
  const stretched = fits.flatMap(({ side, fit }) =>
    fit.how === 'stretch' ? [`${side} ×${fit.factor.toFixed(3)}`] : [],
  )
  const trimmed = fits.filter(({ fit }) => fit.how === 'trim').map(({ side }) => side)
  if (stretched.length > 0)
    return [{ text: 'used, stretched', paint: chalk.green }, ...stretched.map((text) => ({ text }))]
  if (trimmed.length === 0) return [{ text: 'used as it is', paint: chalk.green }]
  const only = trimmed.length === 1 ? [{ text: `${trimmed[0]} only` }] : []
  return [{ text: 'used, trimmed', paint: chalk.green }, ...only]
}

const cell = (lines: Line[], width: number) =>
  lines.flatMap(({ text, paint = (line) => line }) => wrap(text, width).map((line) => paint(line))).join('\n')

/** Lines of at most `width` characters, broken at blanks where possible. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (let rest = plain(text).trim(); rest !== ''; ) {
    const blank = rest.length <= width ? rest.length : rest.lastIndexOf(' ', width)
    const end = blank > 0 ? blank : width
    lines.push(rest.slice(0, end))
    rest = rest.slice(end).trimStart()
  }
  return lines
}

/** Names and captions come out of an archive: control characters in them must not reach the terminal. */
const plain = (text: string) => text.replace(/[\s\p{Cc}]+/gu, ' ')

function problemLines({ severity, message, hint }: Problem, chalk: ChalkInstance): string {
  const colors = { error: chalk.red, warning: chalk.yellow, hint: chalk.cyan }
  return `${colors[severity](`${severity}:`)} ${plain(message)}${hint ? `\n  ${chalk.dim(plain(hint))}` : ''}`
}

function summary({ name, options, counts, problems }: Dataset, chalk: ChalkInstance): string {
  const how = [
    [counts.asIs, 'as they are'],
    [counts.stretched, 'stretched'],
    [counts.trimmed, 'trimmed'],
  ].flatMap(([count, word]) => (count ? [`${count} ${word}`] : []))
  const found = (['error', 'warning', 'hint'] satisfies Severity[]).flatMap((severity) => {
    const count = countOf(problems, severity)
    return count > 0 ? [`${count} ${severity}${count === 1 ? '' : 's'}`] : []
  })
  const used = `${counts.used} of ${counts.pairs} pairs used at ${options.seconds} s`
  const detail = how.length > 0 ? ` (${how.join(', ')})` : ''
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  return `${chalk.bold(name)}: ${used}${detail}${skipped}${found.length > 0 ? ` · ${found.join(', ')}` : ''}`
}
