/** A dataset as text for the terminal: a table of the pairs, the problems, the advice, and a summary line. */
import { Chalk, type ChalkInstance } from 'chalk'
import Table from 'cli-table3'
import { type Advice, consistencyText, lengthAdvice } from '../../dataset/advice.ts'
import type { Dataset } from '../../dataset/dataset.ts'
import { isUnrelated, lagText, tolerableLagSeconds } from '../../dataset/findings.ts'
import { type DatasetOptions, sampleBuckets, type WindowChoice } from '../../dataset/fit-plan.ts'
import { type DatasetPair, type DatasetSide, silentReason } from '../../dataset/pair-inspection.ts'
import { countProblems, type Finding, findingText, type Problem, type Severity } from '../../dataset/problem.ts'
import { isAudible } from '../../dataset/silence.ts'
import { sum } from '../../platform/statistics.ts'
import { countText, decimalText, plain } from '../../platform/text.ts'

/** `columns` is the width of the terminal; less than 80 counts as 80. */
export type TableOptions = { columns?: number; color?: boolean }

export function datasetTable(dataset: Dataset, { columns = 100, color = false }: TableOptions = {}): string {
  const chalk = new Chalk({ level: color ? 1 : 0 })
  const parts = [
    dataset.pairs.length > 0
      ? pairTable(dataset.pairs, { columns: Math.max(80, columns), chalk, ...dataset.options })
      : '',
    dataset.problems.map((problem) => problemLines(problem, chalk)).join('\n'),
    dataset.advice ? adviceText(dataset.advice, dataset, chalk) : '',
    summary(dataset, chalk),
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

function problemLines({ severity, message, hint }: Problem, chalk: ChalkInstance): string {
  const colors = { error: chalk.red, warning: chalk.yellow, hint: chalk.cyan }
  return `${colors[severity](`${severity}:`)} ${plain(message)}${hint ? `\n  ${chalk.dim(plain(hint))}` : ''}`
}

function summary({ name, options, counts, problems }: Dataset, chalk: ChalkInstance): string {
  const fits = [
    [counts.asIs, 'as they are'],
    [counts.stretched, 'stretched'],
    [counts.trimmed, options.windows === 'random' ? 'longer' : 'trimmed'],
  ].flatMap(([count, word]) => (count ? [`${count} ${word}`] : []))
  const problemCounts = (['error', 'warning', 'hint'] satisfies Severity[]).flatMap((severity) => {
    const count = countProblems(problems, severity)
    if (count === 0) return []
    return [
      severity === 'error' ? `${countText(count, severity)} to correct before training` : countText(count, severity),
    ]
  })
  const inClips = { first: '', all: ` in ${countText(counts.clips, 'clip')}`, random: ' in clips from random places' }[
    options.windows
  ]
  const used = `${counts.used} of ${counts.pairs} pairs used${inClips} at ${options.seconds} s`
  const detail = fits.length > 0 ? ` (${fits.join(', ')})` : ''
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  return `${chalk.bold(plain(name))}: ${used}${detail}${skipped}${problemCounts.length > 0 ? ` · ${problemCounts.join(', ')}` : ''}`
}

type Cell = { text: string; paint?: (text: string) => string }

/** Where a line is too long, the columns with the lowest priority are left out. */
type Column = { title: string; priority: number; alignRight?: boolean; cells: Cell[] }

/** Widths in characters. */
const gap = 2
const minCaptionWidth = 12
const maxNameWidth = 24

type PairTableOptions = { columns: number; chalk: ChalkInstance } & Pick<DatasetOptions, 'triggerPhrase' | 'windows'>

/** One line for each pair; what does not fit is cut and ends in an ellipsis. */
function pairTable(
  pairs: readonly DatasetPair[],
  { columns, chalk, triggerPhrase, windows }: PairTableOptions,
): string {
  const shown = columnsThatFit(allColumns(pairs, { trigger: triggerPhrase.trim(), windows }, chalk), columns)
  const table = new Table({
    head: shown.map(({ title }) => chalk.bold(title)),
    colWidths: columnWidths(shown, columns),
    colAligns: shown.map(({ alignRight }) => (alignRight ? 'right' : 'left')),
    chars: noBorders,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': gap },
  })
  const rows = pairs.map((_, row) =>
    shown.map(({ cells }) => {
      const { text, paint = (line: string) => line } = cells[row] as Cell
      return paint(text)
    }),
  )
  table.push(...rows)
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

function allColumns(
  pairs: readonly DatasetPair[],
  { trigger, windows }: { trigger: string; windows: WindowChoice },
  chalk: ChalkInstance,
): Column[] {
  const column = (title: string, priority: number, cell: (pair: DatasetPair) => Cell, alignRight = false): Column => ({
    title,
    priority,
    alignRight,
    cells: pairs.map(cell),
  })
  const both = (text: (audio: Audio) => string) => (pair: DatasetPair) => ({ text: bothSides(pair, text) })
  return [
    column('pair', 9, ({ name }) => ({ text: plain(name) })),
    column(
      'seconds',
      8,
      both(({ seconds }) => seconds.toFixed(2)),
    ),
    column('format', 2, ({ reference, target }) => ({ text: arrow(extension(reference), extension(target)) })),
    column(
      'kHz',
      3,
      both(({ sampleRate }) => `${sampleRate / 1000}`),
    ),
    column(
      'channels',
      1,
      both(({ channelCount }) => channelLayout(channelCount)),
    ),
    column('LUFS', 4, (pair) => loudness(pair, chalk)),
    column('lag', 6, (pair) => lag(pair, chalk), true),
    column('outcome', 7, (pair) => outcome(pair, windows, chalk)),
    column(trigger ? `caption after "${plain(trigger)}"` : 'caption', 9, ({ caption }) => ({
      text: plain(withoutTrigger(caption, trigger)) || '–',
      paint: chalk.dim,
    })),
  ]
}

/** The trigger phrase is the same in every line. */
const withoutTrigger = (caption: string, trigger: string) =>
  caption.startsWith(trigger) ? caption.slice(trigger.length) : caption

type Audio = NonNullable<DatasetSide['audio']>

/** `reference → target`, or one text where both are the same. */
const bothSides = ({ reference, target }: DatasetPair, text: (audio: Audio) => string) =>
  arrow(...([reference, target].map(({ audio }) => (audio ? text(audio) : '?')) as [string, string]))

const arrow = (reference: string, target: string) => (reference === target ? reference : `${reference} → ${target}`)

const extension = ({ path }: DatasetSide) => path.slice(path.lastIndexOf('.') + 1).toLowerCase()

const channelLayout = (channels: number) => ({ 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' })[channels] ?? `${channels}`

function loudness(pair: DatasetPair, chalk: ChalkInstance): Cell {
  const text = bothSides(pair, ({ sound, silent }) =>
    silent ? 'silent' : sound?.loudness == null ? '–' : decimalText(sound.loudness, 0),
  )
  return { text, ...(text.includes('silent') && { paint: chalk.yellow }) }
}

/** How much later the target is than its reference. */
function lag(pair: DatasetPair, chalk: ChalkInstance): Cell {
  const { sound } = pair
  if (isUnrelated(pair)) return { text: 'unrelated', paint: chalk.yellow }
  if (sound?.lagSeconds == null || !isAudible(pair)) return { text: '–', paint: chalk.dim }
  const isOutOfSync = Math.abs(sound.lagSeconds) >= tolerableLagSeconds
  return { text: lagText(sound.lagSeconds), paint: isOutOfSync ? chalk.yellow : chalk.dim }
}

function outcome({ plan, clips }: DatasetPair, windows: WindowChoice, chalk: ChalkInstance): Cell {
  if (!plan.use) return { text: `skipped, ${skippedBecause(plan.reason)}`, paint: chalk.yellow }
  if (clips.used > 1)
    return { text: `${countText(clips.used, 'clip')}${clips.silent > 0 ? `, ${clips.silent} silent` : ''}` }
  const { reference, target } = plan
  const factors = [reference, target].flatMap((fit) => (fit.how === 'stretch' ? [fit.factor] : []))
  const hows = [reference.how, target.how]
  if (factors.length > 0) return { text: `stretched ×${Math.min(...factors).toFixed(2)}` }
  if (!hows.includes('trim')) return { text: 'as it is' }
  if (windows === 'random' && hows.every((how) => how === 'trim')) return { text: 'random places' }
  const only = reference.how !== 'trim' ? ' target' : target.how !== 'trim' ? ' reference' : ''
  return { text: `trimmed${only}` }
}

function skippedBecause(reason: string): string {
  if (reason === silentReason) return 'silent'
  return /cannot be read/.test(reason) ? 'unreadable' : 'too short'
}

/** The width at which nothing in a column is cut, except long names. */
const fullWidth = ({ title, cells }: Column) => {
  const longest = Math.max(title.length, ...cells.map(({ text }) => text.length))
  return gap + (title === 'pair' ? Math.min(longest, maxNameWidth) : longest)
}

const widthWithoutCaption = (shown: readonly Column[]) => sum(shown.slice(0, -1).map(fullWidth))

/** Columns with a higher priority are never left out. */
const maxOmittedPriority = 5

function columnsThatFit(all: Column[], columns: number): Column[] {
  if (widthWithoutCaption(all) + minCaptionWidth <= columns) return all
  const lowest = Math.min(...all.map(({ priority }) => priority))
  return lowest > maxOmittedPriority
    ? all
    : columnsThatFit(
        all.filter(({ priority }) => priority !== lowest),
        columns,
      )
}

/** The caption gets the width that is left. Where that is too little, the outcome is cut. */
function columnWidths(shown: readonly Column[], columns: number): number[] {
  const caption = shown.at(-1) as Column
  const captionWidth = Math.max(minCaptionWidth, columns - widthWithoutCaption(shown))
  const widths = shown.slice(0, -1).map(fullWidth)
  const excess = sum(widths) + captionWidth - columns
  const outcomeAt = shown.findIndex(({ title }) => title === 'outcome')
  return [
    ...widths.map((width, i) => (i === outcomeAt ? width - Math.max(0, excess) : width)),
    Math.min(captionWidth, fullWidth(caption)),
  ]
}

const noBorders = Object.fromEntries(
  ['', '-mid', '-left', '-right']
    .flatMap((part) => ['top', 'bottom', 'mid', 'left', 'right'].map((side) => `${side}${part}`))
    .concat('middle')
    .map((name) => [name, '']),
)

const maxBars = 6
const barWidth = 24
const maxNames = 6

/** The findings, how many pairs each clip length keeps, and how consistent the pairs are. */
function adviceText(advice: Advice, { options }: { options: DatasetOptions }, chalk: ChalkInstance): string {
  const parts = [
    advice.findings.length > 0 ? findingLines(advice.findings, chalk) : '',
    advice.buckets.length > 0 ? lengthLines(advice, options, chalk) : '',
    advice.agreement === null ? '' : consistencyText(advice.agreement),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

function findingLines(findings: readonly Finding[], chalk: ChalkInstance): string {
  const lines = findings.map((finding, i) => {
    const number = `${i + 1}.`.padStart(4)
    const text = plain(findingText(finding, maxNames))
    return `${finding.severity === 'warning' ? chalk.yellow(number) : number} ${text}\n     ${chalk.dim(plain(finding.hint))}`
  })
  return [chalk.bold('What to fix first'), ...lines].join('\n')
}

function lengthLines({ buckets, recommendedSeconds }: Advice, options: DatasetOptions, chalk: ChalkInstance): string {
  const maxPairs = buckets[0]?.pairs ?? 1
  const bars = sampleBuckets(buckets, maxBars).map((bucket) => {
    const filled = Math.round((barWidth * bucket.pairs) / maxPairs)
    return `${`${bucket.seconds.toFixed(1)} s`.padStart(8)} ${'█'.repeat(filled)}${chalk.dim('░'.repeat(barWidth - filled))} ${bucket.pairs}`
  })
  return [
    chalk.bold('Pairs that each clip length keeps'),
    ...bars,
    `  ${lengthAdvice(recommendedSeconds, options)}`,
  ].join('\n')
}
