/** The conversation as JSON, one object a line on stderr, for programs that run this one. The result stays as it is, on stdout. */
import type { Stage, Terminal, TerminalStream } from './terminal.ts'

/** Often enough for a bar that moves, seldom enough for a log. */
const shortestSilence = 200

export type JsonTerminalOptions = { stdout: TerminalStream; stderr: TerminalStream; quiet?: boolean }

export function createJsonTerminal({ stdout, stderr, quiet = false }: JsonTerminalOptions): Terminal {
  const write = (line: object) => stderr.write(`${JSON.stringify(line)}\n`)
  const say = quiet ? () => {} : write

  const stage = (label: string, total: number, unit: string): Stage => {
    let first: { position: number; at: number } | undefined
    let saidAt = Number.NEGATIVE_INFINITY
    return {
      update: (position, extras = {}) => {
        const now = performance.now()
        first ??= { position, at: now }
        if (now - saidAt < shortestSilence && position !== total) return
        saidAt = now
        const rate = (position - first.position) / ((now - first.at) / 1000)
        const pace =
          rate > 0 && Number.isFinite(rate)
            ? { rate, ...(total > 0 && { secondsLeft: (total - position) / rate }) }
            : {}
        say({
          event: 'progress',
          stage: label,
          position,
          total: total > 0 ? total : null,
          unit,
          ...pace,
          ...numbers(extras),
        })
      },
      done: (message = 'done') => say({ event: 'done', stage: label, message }),
    }
  }

  return {
    note: (message) => say({ event: 'note', message }),
    warn: (message) => say({ event: 'warning', message }),
    error: (message) => write({ event: 'error', message }),
    result: (text) => stdout.write(text.endsWith('\n') ? text : `${text}\n`),
    stage,
    resultStyle: { color: false },
    close: () => {},
  }
}

/** What a bar shows as text is a number here where it is one. */
const numbers = (extras: Readonly<Record<string, string | number>>) =>
  Object.fromEntries(
    Object.entries(extras).map(([name, value]) => [
      name,
      value === '' || Number.isNaN(Number(value)) ? value : Number(value),
    ]),
  )
