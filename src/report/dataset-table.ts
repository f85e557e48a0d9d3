/** A dataset as text for the terminal: a line for every pair, then the problems, then the advice, then one line that sums up. */
import { Chalk, type ChalkInstance } from 'chalk'
import type { Dataset } from '../dataset/dataset.ts'
import { countOf, type Problem, type Severity } from '../dataset/problem.ts'
import { adviceText } from './advice-text.ts'
import { pairLines } from './pair-lines.ts'
import { plain } from './plain.ts'

/** `columns` is the width to keep to; less than 80 counts as 80. */
export type TableOptions = { columns?: number; color?: boolean }

export function datasetTable(dataset: Dataset, { columns = 100, color = false }: TableOptions = {}): string {
  const chalk = new Chalk({ level: color ? 1 : 0 })
  const parts = [
    dataset.pairs.length > 0
      ? pairLines(dataset.pairs, { columns: Math.max(80, columns), chalk, ...dataset.options })
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
