/** The message of a failed command and its exit code: 2 for what the user can correct, 130 or 143 for stopped, 1 for a bug of ours. */
import { Interrupted, UserError } from '../platform/errors.ts'
import { toolVersion } from '../platform/version.ts'
import type { StopExitCode } from './signals.ts'
import type { Output } from './terminal/terminal.ts'

/** @param stopExitCode the exit code of the signal that stopped the command. */
export function reportError(
  error: unknown,
  output: Pick<Output, 'info' | 'error'>,
  stopExitCode: StopExitCode = 130,
): 1 | 2 | StopExitCode {
  if (error instanceof Interrupted) {
    output.info(error.message)
    if (error.hint) output.info(`  to continue: ${error.hint}`)
    return stopExitCode
  }
  const correctable = error instanceof UserError ? error : systemRefusal(error)
  if (correctable) {
    const { message, hint, cause } = correctable
    output.error(message, { ...(hint !== undefined && { hint }), causes: lastLines(cause) })
    return 2
  }
  output.error(error instanceof Error ? (error.stack ?? error.message) : String(error))
  output.info(`This is a bug in ltx-a2a ${toolVersion}, not something you did.`)
  return 1
}

/** Refusals that any reading or writing can meet. A missing file is not among them: that may well be a mistake of ours. */
const systemHints: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on the disk, or write elsewhere',
  EDQUOT: 'make room in your quota, or write elsewhere',
  EROFS: 'write elsewhere: this disk cannot be written to',
  EACCES: 'check the permissions, or write elsewhere',
  EPERM: 'check the permissions, or write elsewhere',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'name a file, not a folder',
}

/** Node's message is `ENOSPC: no space left on device, write`. */
function systemRefusal(error: unknown): UserError | undefined {
  if (!(error instanceof Error)) return undefined
  const { code = '' } = error as NodeJS.ErrnoException
  const hint = Object.hasOwn(systemHints, code) ? systemHints[code] : undefined
  return hint === undefined ? undefined : new UserError(error.message.replace(/^[A-Z]+: /, ''), { hint })
}

const lastLines = (cause: unknown): string[] =>
  cause instanceof Error ? cause.message.split('\n').filter(Boolean).slice(-3) : []
