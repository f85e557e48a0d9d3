/** The only hand on the terminal beside the commands: stdout gets the result, stderr the conversation. */
import type { Writable } from 'node:stream'
import { Chalk } from 'chalk'
import { createLiveBars, type Extras, type Progress, progressText } from './progress-bars.ts'

export type Stage = {
  /** @param position in the stage's unit, counted from the very beginning: a resumed run starts at where it was. */
  update(position: number, extras?: Extras): void
  done(summary?: string): void
}

export type Terminal = {
  note(line: string): void
  warn(line: string): void
  error(line: string): void
  /** What the command was run for. */
  result(text: string): void
  /** Something that takes a while. A stage may begin and end within another. @param total 0 where nobody knows. */
  stage(label: string, total: number, unit: string): Stage
  /** How a result may look: coloured and as wide as the window on a terminal, plain in a pipe. */
  resultStyle: { color: boolean; columns?: number }
  /** Takes down a bar that is still up; its timer would keep the process alive. */
  close(): void
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
  const allowsColor = !env.NO_COLOR && env.TERM !== 'dumb'
  const chalk = new Chalk({ level: stderr.isTTY && allowsColor ? 1 : 0 })
  const bars = stderr.isTTY && env.TERM !== 'dumb' && !quiet ? createLiveBars(stderr) : undefined

  const aside = (write: () => void) => (bars ? bars.aside(write) : write())
  const write = (line: string, head = '') => aside(() => stderr.write(`${head}${printable(line)}\n`))
  const say = quiet ? () => {} : write

  const stage = (label: string, total: number, unit: string): Stage => {
    const bar = bars?.open(chalk.bold(label), total)
    const show = bar?.show ?? logLines((text) => say(`${label}: ${text}`), total)
    let first: { position: number; at: number } | undefined
    return {
      update: (position, extras = {}) => {
        first ??= { position, at: performance.now() }
        const seconds = (performance.now() - first.at) / 1000
        show({ position, total, unit, begunAt: first.position, seconds, extras })
      },
      done: (summary = 'done') => {
        bar?.close()
        say(summary, chalk.bold(`${label}: `))
      },
    }
  }

  return {
    note: (line) => say(line),
    warn: (line) => say(line, chalk.yellow('warning: ')),
    error: (line) => {
      bars?.closeAll()
      write(line, chalk.red('error: '))
    },
    result: (text) => aside(() => stdout.write(text.endsWith('\n') ? text : `${text}\n`)),
    stage,
    resultStyle: {
      color: Boolean(stdout.isTTY) && allowsColor,
      ...(stdout.columns !== undefined && { columns: stdout.columns }),
    },
    close: () => bars?.closeAll(),
  }
}

/** File names come out of archives, and ffmpeg's words out of files: none of them may steer the terminal. */
const printable = (text: string) => text.replace(/(?![\n\t])\p{Cc}/gu, '')

const longestSilence = 10_000
const shortestSilence = 1_000

/** For a log: a line every tenth of the way, but neither long silence nor a flood. */
function logLines(say: (text: string) => void, total: number) {
  let [spokenAt, spokenTenth] = [performance.now(), 0]
  return (progress: Progress) => {
    const tenth = total > 0 ? Math.floor((10 * progress.position) / total) : 0
    const silence = performance.now() - spokenAt
    if (silence < (tenth > spokenTenth ? shortestSilence : longestSilence)) return
    ;[spokenAt, spokenTenth] = [performance.now(), tenth]
    say(progressText(progress))
  }
}
