/** What long-running commands tell those who run them: events with a level, a name for programs, a sentence for people, and values. */

export const logLevels = ['debug', 'info', 'warn', 'error'] as const

export type LogLevel = (typeof logLevels)[number]

/** Of an error, the stack is logged. */
export type LogValue = string | number | boolean | Error | undefined

/** Neither the sentence nor the values may hold secrets: keys, passwords, URLs of clients, ids of uploads. */
export type Log = (level: LogLevel, event: string, message: string, values?: Readonly<Record<string, LogValue>>) => void

/** @returns a listener for errors that nobody expects. */
export const errorLog =
  (log: Log, level: LogLevel = 'error') =>
  (error: unknown) =>
    log(level, 'unexpected_error', error instanceof Error ? error.message : String(error), {
      error: error instanceof Error ? error : undefined,
    })
