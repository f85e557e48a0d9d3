/** How a command runs: its output, the signals that stop it, its errors and its exit code. */
import { type Limits, parseLimits } from '../config/limits.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import type { LogLevel } from '../platform/log.ts'
import { toolVersion } from '../platform/version.ts'
import { stopWithStdin } from './stop-with-stdin.ts'
import { createEventPrinter, createJsonOutput } from './terminal/event-printer.ts'
import { createLogOutput, type LogFormat } from './terminal/log-output.ts'
import { createTerminal, type Output } from './terminal/terminal.ts'

export type CommandContext = {
  output: Output
  /** Aborted by Ctrl-C, SIGTERM and a closed terminal. */
  signal: AbortSignal
  limits: Limits
}

/**
 * Runs a command and sets the exit code. This is the one place where errors end.
 * @param stopping printed when a signal asks the command to stop.
 */
export async function runCommand(
  options: OutputOptions & { limit?: string[] | undefined; output?: Output | undefined },
  work: (context: CommandContext) => Promise<void>,
  stopping = 'stopping',
): Promise<void> {
  const output = options.output ?? openOutput(options)
  const signals = watchSignals(() => output.info(stopping))
  if (options.stopWithStdin) stopWithStdin()
  try {
    const limits = parseLimits([process.env.LTX_A2A_LIMITS ?? '', ...(options.limit ?? [])])
    await work({ output, signal: signals.signal, limits })
  } catch (error) {
    process.exitCode = reportError(error, output, signals.exitCode())
  } finally {
    signals.release()
    output.close()
  }
}

export type OutputOptions = {
  /** Errors and the result only. */
  quiet?: boolean | undefined
  /** Events and messages as JSON lines. */
  jsonProgress?: boolean | undefined
  /** Stops, as a signal does, when the other end of stdin is closed. */
  stopWithStdin?: boolean | undefined
}

/** The result goes to stdout, everything else to stderr, as text for people or as JSON lines for programs. */
export function openOutput({ quiet = false, jsonProgress = false }: OutputOptions): Output {
  const { stdout, stderr, env } = process
  if (jsonProgress) return createJsonOutput({ stdout, stderr, quiet })
  const terminal = createTerminal({ stdout, stderr, env, quiet })
  return { ...terminal, onEvent: createEventPrinter(terminal) }
}

/** For commands that run for days. */
export function openLog(options: { quiet?: boolean | undefined; logFormat: LogFormat; logLevel: LogLevel }) {
  const { quiet = false, logFormat: format, logLevel } = options
  const { stdout, stderr, env } = process
  const terminal = createTerminal({ stdout, stderr, env, quiet })
  return createLogOutput({ terminal, stderr, format, level: quiet ? 'error' : logLevel })
}

/** The signals that stop a command. The first one aborts an `AbortSignal`, a second one ends the process at once. */
export type StopSignals = {
  /** Aborted by the first signal. */
  signal: AbortSignal
  /** The exit code of the signal that came, as shells count: 128 plus its number. Undefined as long as none came. */
  exitCode(): StopExitCode | undefined
  /** Restores the default behaviour of the signals. */
  release(): void
}

export type StopExitCode = 129 | 130 | 143

/** @param onStop called with the first signal. */
export function watchSignals(onStop: () => void): StopSignals {
  const controller = new AbortController()
  let exitCode: StopExitCode | undefined
  let stoppedAt = 0
  const stop = (signal: NodeJS.Signals) => {
    const code = exitCodes[signal as keyof typeof exitCodes]
    if (exitCode !== undefined) {
      if (performance.now() - stoppedAt < sameStop) return
      process.exit(code)
    }
    exitCode = code
    stoppedAt = performance.now()
    onStop()
    controller.abort()
  }
  for (const name of Object.keys(exitCodes)) process.on(name, stop)
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    release: () => {
      for (const name of Object.keys(exitCodes)) process.off(name, stop)
    },
  }
}

/** In milliseconds. Programs such as `timeout` and `npx` send a signal to the process and to its group, so that it arrives twice. */
const sameStop = 300

const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/**
 * Prints the message of a failed command. @returns the exit code: 2 for what the user can correct, 129, 130 or 143 for stopped, 1 for a bug of ours.
 * @param stopExitCode the exit code of the signal that stopped the command.
 */
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
    const { message, hint, cause, code, context, parameter, place } = correctable
    output.error(message, {
      ...(hint !== undefined && { hint }),
      causes: lastLines(cause),
      ...(code !== undefined && { code }),
      ...(context !== undefined && { context }),
      ...(parameter !== undefined && { parameter }),
      ...(place !== undefined && { place }),
    })
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
  ENAMETOOLONG: 'use a shorter name',
}

/** Node's message is `ENOSPC: no space left on device, write`. */
function systemRefusal(error: unknown): UserError | undefined {
  if (!(error instanceof Error)) return undefined
  const { code = '' } = error as NodeJS.ErrnoException
  const hint = Object.hasOwn(systemHints, code) ? systemHints[code] : undefined
  return hint === undefined
    ? undefined
    : new UserError(error.message.replace(/^[A-Z]+: /, ''), { hint, code: 'machine_error' })
}

const lastLines = (cause: unknown): string[] =>
  cause instanceof Error ? cause.message.split('\n').filter(Boolean).slice(-3) : []
