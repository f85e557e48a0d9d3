/** `ltx-a2a doctor`: what this machine has for a training, and what is missing. */
import { Chalk, type ChalkInstance } from 'chalk'
import Table from 'cli-table3'
import { type Command, Option } from 'commander'
import type { DoctorSettings } from '../setup/doctor.ts'
import type { Finding, Grade } from '../setup/doctor-findings.ts'
import { addQuietOption } from './options.ts'
import { runCommand } from './run-command.ts'
import type { TableOptions } from './terminal/dataset-table.ts'

type DoctorFlags = DoctorSettings & { json?: true; quiet?: true }

export function addDoctor(program: Command) {
  const command = program
    .command('doctor')
    .summary('check what this machine has for training, and what is missing')
    .description('Shows what the model runs on here and how fast, and what is missing. It changes nothing.')
    .addOption(
      new Option('--model <path>', 'examine this base, files or a folder (default: the small bundled one)').argParser(
        (path, before?: string) => (before === undefined ? path : `${before},${path}`),
      ),
    )
    .option('--text-encoder <path>', 'examine this text encoder, too')
    .addOption(
      new Option('--backend <name>', 'what the model runs on')
        .choices(['auto', 'tensorflow', 'webgpu', 'wasm', 'cpu'])
        .default('auto'),
    )
    .option('--json', 'print everything as JSON')
  addQuietOption(command)
  command.action(({ quiet, json, ...settings }: DoctorFlags) =>
    runCommand({ quiet }, async ({ output, signal }) => {
      const { examineMachine } = await import('../setup/doctor.ts')
      const { findings } = await import('../setup/doctor-findings.ts')
      const report = await examineMachine(settings, { signal })
      output.result(json ? JSON.stringify(report, null, 2) : findingsTable(findings(report), output.resultStyle))
    }),
  )
}

/** What was examined, what was found, and what it means. */
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
