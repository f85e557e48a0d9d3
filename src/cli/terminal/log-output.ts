/** The log of commands that run for days: sentences for people, or a JSON object for each event. */
import { type Log, type LogLevel, logLevels } from '../../platform/log.ts'
import type { Output, Terminal } from './terminal.ts'

export type LogFormat = 'text' | 'json'

export type LogOutputOptions = {
  terminal: Terminal
  stderr: { write(text: string): unknown }
  format: LogFormat
  /** Events below it are left out. */
  level: LogLevel
}

/** @returns the log, and what the command prints otherwise, in the same format. */
export function createLogOutput({ terminal, stderr, format, level }: LogOutputOptions): { log: Log; output: Output } {
  const isShown = (one: LogLevel) => logLevels.indexOf(one) >= logLevels.indexOf(level)
  const asText: Log = (one, _event, message, { error } = {}) => {
    if (!isShown(one)) return
    const text = error instanceof Error ? (error.stack ?? message) : message
    if (one === 'error') terminal.error(text)
    else if (one === 'warn') terminal.warn(text)
    else terminal.info(text)
  }
  const asJson: Log = (one, event, message, { error, ...values } = {}) => {
    if (!isShown(one)) return
    const stack = error instanceof Error ? error.stack : undefined
    stderr.write(
      `${JSON.stringify({ time: new Date().toISOString(), level: one, event, message, ...values, stack })}\n`,
    )
  }
  const log = format === 'json' ? asJson : asText
  const output: Output = {
    ...terminal,
    info: (message) => log('info', 'message', message),
    warn: (message) => log('warn', 'message', message),
    error: (message, details = {}) =>
      format === 'json' ? log('error', 'error', message, { hint: details.hint }) : terminal.error(message, details),
    onEvent: () => {},
  }
  return { log, output }
}
