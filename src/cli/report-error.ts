/** What is said when a command fails, and its exit code: 2 for what the person can correct, 130 or 143 for stopped, 1 for a bug of ours. */
import { Interrupted, UserError } from '../platform/errors.ts'
import { toolVersion } from '../platform/version.ts'
import type { Terminal } from './terminal/terminal.ts'

export function tellFailure(error: unknown, terminal: Terminal): 1 | 2 | 130 | 143 {
  if (error instanceof Interrupted) {
    terminal.note(error.message)
    if (error.hint) terminal.note(`  go on: ${error.hint}`)
    return error.exitCode
  }
  const correctable = error instanceof UserError ? error : refusalOfSystem(error)
  if (correctable) {
    terminal.error(correctable.message)
    if (correctable.hint) terminal.note(`  hint: ${correctable.hint}`)
    for (const line of lastLines(correctable.cause)) terminal.note(`  cause: ${line}`)
    return 2
  }
  terminal.error(error instanceof Error ? (error.stack ?? error.message) : String(error))
  terminal.note(`This is a bug in ltx-a2a ${toolVersion}, not something you did.`)
  return 1
}

/** Refusals that any writing or reading can meet, wherever it happens. A missing file is not among them: that may well be our mistake. */
const systemHints: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on the disk, or write elsewhere',
  EDQUOT: 'make room in your quota, or write elsewhere',
  EROFS: 'write elsewhere: this disk cannot be written to',
  EACCES: 'check the permissions, or write elsewhere',
  EPERM: 'check the permissions, or write elsewhere',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'name a file, not a folder',
}

/** Node says `ENOSPC: no space left on device, write`. */
function refusalOfSystem(error: unknown): UserError | undefined {
  if (!(error instanceof Error)) return undefined
  const { code = '' } = error as NodeJS.ErrnoException
  const hint = Object.hasOwn(systemHints, code) ? systemHints[code] : undefined
  return hint === undefined ? undefined : new UserError(error.message.replace(/^[A-Z]+: /, ''), { hint })
}

const lastLines = (cause: unknown): string[] =>
  cause instanceof Error ? cause.message.split('\n').filter(Boolean).slice(-3) : []
