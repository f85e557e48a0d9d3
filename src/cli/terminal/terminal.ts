/** The terminal: stdout gets the result, stderr everything else. Progress is shown as bars where the terminal can, else as lines of a log. */
import type { Writable } from 'node:stream'
import { Chalk } from 'chalk'
import type { ApplyEvent } from '../../apply/apply.ts'
import type { ErrorCode, ErrorContext, ErrorPlace } from '../../platform/errors.ts'
import { type Progress, progressText, type StageValues } from '../../platform/progress-text.ts'
import { printable } from '../../platform/text.ts'
import type { TrainEvent } from '../../train/events.ts'
import { createProgressBars } from './progress-bars.ts'

export type Stage = {
  /** @param position in the unit of the stage, counted from the very beginning: a resumed run starts where it was interrupted. */
  update(position: number, values?: StageValues): void
  finish(summary?: string): void
}

export type ErrorDetails = {
  hint?: string
  causes?: readonly string[]
  code?: ErrorCode
  context?: ErrorContext
  parameter?: string
  place?: ErrorPlace
}

export type Terminal = {
  info(line: string): void
  warn(line: string): void
  /** `code`, `context`, `parameter` and `place` are for programs. */
  error(line: string, details?: ErrorDetails): void
  /** The result of the command, on stdout. */
  result(text: string): void
  /** A part of the work that takes a while. Stages may be nested. @param total 0 where it is unknown. */
  stage(label: string, total: number, unit: string): Stage
  /** How to format a result: coloured and as wide as the window on a terminal, plain in a pipe. */
  resultStyle: { color: boolean; columns?: number }
  /** Removes the bars that are still shown: their timers would keep the process alive. */
  close(): void
}

/** What a command prints. */
export type Output = Pick<Terminal, 'info' | 'warn' | 'error' | 'result' | 'resultStyle' | 'close'> & {
  /** A listener for the events of the library. */
  onEvent(event: TrainEvent | ApplyEvent): void
}

export type TerminalStream = Writable & { isTTY?: boolean; columns?: number }

export type TerminalOptions = {
  stdout: TerminalStream
  stderr: TerminalStream
  env: Readonly<Record<string, string | undefined>>
  /** Errors and the result only. */
  quiet?: boolean
}

export function createTerminal({ stdout, stderr, env, quiet = false }: TerminalOptions): Terminal {
  const chalk = new Chalk({ level: hasColor(stderr, env) ? 1 : 0 })
  const bars = stderr.isTTY && env.TERM !== 'dumb' && !quiet ? createProgressBars(stderr) : undefined

  const writeBetween = (write: () => void) => (bars ? bars.writeBetween(write) : write())
  const write = (line: string, prefix = '') => writeBetween(() => stderr.write(`${prefix}${printable(line)}\n`))
  const print = quiet ? () => {} : write

  const stage = (label: string, total: number, unit: string): Stage => {
    const bar = bars?.open(chalk.bold(label), total)
    const show = bar?.show ?? logLines((text) => print(`${label}: ${text}`), total)
    let first: { position: number; at: number } | undefined
    return {
      update: (position, values = {}) => {
        first ??= { position, at: performance.now() }
        const seconds = (performance.now() - first.at) / 1000
        show({ position, total, unit, startPosition: first.position, seconds, values })
      },
      finish: (summary = 'done') => {
        bar?.close()
        print(summary, chalk.bold(`${label}: `))
      },
    }
  }

  return {
    info: (line) => print(line),
    warn: (line) => print(line, chalk.yellow('warning: ')),
    error: (line, { hint, causes = [] } = {}) => {
      bars?.closeAll()
      write(line, chalk.red('error: '))
      if (hint) print(`  hint: ${hint}`)
      for (const cause of causes) print(`  cause: ${cause}`)
    },
    result: (text) => writeBetween(() => stdout.write(text.endsWith('\n') ? text : `${text}\n`)),
    stage,
    resultStyle: {
      color: hasColor(stdout, env),
      ...(stdout.columns !== undefined && { columns: stdout.columns }),
    },
    close: () => bars?.closeAll(),
  }
}

/** A terminal has colors, a pipe or a file has none. `FORCE_COLOR` and `NO_COLOR` decide otherwise; the first wins, as in Node. */
function hasColor({ isTTY }: TerminalStream, { FORCE_COLOR, NO_COLOR, TERM }: TerminalOptions['env']): boolean {
  if (FORCE_COLOR !== undefined) return !['0', 'false'].includes(FORCE_COLOR)
  return Boolean(isTTY) && !NO_COLOR && TERM !== 'dumb'
}

/** Milliseconds between two lines of a log. */
const maxInterval = 10_000
const minInterval = 1_000

/** For a log: a line at every tenth of the stage, at least every ten seconds and at most every second. */
function logLines(print: (text: string) => void, total: number) {
  let [printedAt, printedTenth] = [performance.now(), 0]
  return (progress: Progress) => {
    const tenth = total > 0 ? Math.floor((10 * progress.position) / total) : 0
    const elapsed = performance.now() - printedAt
    if (elapsed < (tenth > printedTenth ? minInterval : maxInterval)) return
    ;[printedAt, printedTenth] = [performance.now(), tenth]
    print(progressText(progress))
  }
}
