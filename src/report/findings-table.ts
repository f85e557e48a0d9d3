/** The doctor's findings as a table: what was looked at, what was found, what it means. */
import { Chalk, type ChalkInstance } from 'chalk'
import Table from 'cli-table3'
import type { Finding, Grade } from '../doctor/findings.ts'
import type { TableOptions } from './dataset-table.ts'

export function findingsTable(
  findings: readonly Finding[],
  { columns = 100, color = false }: TableOptions = {},
): string {
  const chalk = new Chalk({ level: color ? 1 : 0 })
  const about = padding + Math.max(...findings.map(({ about }) => about.length))
  const rest = Math.max(80, columns) - about - borders
  const found = Math.ceil(rest / 2)
  const table = new Table({
    colWidths: [about, found, rest - found],
    wordWrap: true,
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
    style: { head: [], border: [] },
  })
  table.push(...findings.map((finding) => [chalk.bold(finding.about), paint(finding, chalk), finding.meaning]))
  return `${table.toString()}\n`
}

/** A blank on each side of a cell, and the lines between and around three columns. */
const [padding, borders] = [2, 4]

const paint = ({ found, grade }: Finding, chalk: ChalkInstance) =>
  ({ good: chalk.green, fair: chalk.yellow, poor: chalk.red })[grade satisfies Grade](found)
