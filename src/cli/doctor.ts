/** `ltx-a2a doctor`: what this machine brings to a training, and what is missing. */

import { Chalk, type ChalkInstance } from 'chalk'
import Table from 'cli-table3'
import type { BackendChoice } from '../engine/backend.ts'
import type { BaseChoice } from '../model/base-model.ts'
import { examineMachine } from '../setup/doctor.ts'
import { type Finding, findings, type Grade } from '../setup/doctor-findings.ts'
import type { TableOptions } from './terminal/dataset-table.ts'
import type { Terminal } from './terminal/terminal.ts'

export type DoctorOptions = BaseChoice & { backend?: BackendChoice; json?: boolean }

/** Never fails for what is missing: that is what it tells. */
export async function runDoctor({ backend = 'auto', json = false, ...base }: DoctorOptions, terminal: Terminal) {
  const report = await examineMachine(backend, base)
  terminal.result(json ? JSON.stringify(report, null, 2) : findingsTable(findings(report), terminal.resultStyle))
}

/** The doctor's findings as a table: what was looked at, what was found, what it means. */

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
