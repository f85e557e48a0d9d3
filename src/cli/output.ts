/** What a command prints: its result on stdout and everything else on stderr, as text for people or as JSON lines for programs. */
import { createEventPrinter } from './terminal/event-printer.ts'
import { createJsonOutput } from './terminal/json-lines.ts'
import { createTerminal, type Output } from './terminal/terminal.ts'

export type OutputOptions = {
  /** Errors and the result only. */
  quiet?: boolean | undefined
  /** Events and messages as JSON lines. */
  jsonProgress?: boolean | undefined
}

export function openOutput({ quiet = false, jsonProgress = false }: OutputOptions): Output {
  const { stdout, stderr, env } = process
  if (jsonProgress) return createJsonOutput({ stdout, stderr, quiet })
  const terminal = createTerminal({ stdout, stderr, env, quiet })
  return { ...terminal, onEvent: createEventPrinter(terminal) }
}
