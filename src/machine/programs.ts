/** External programs other than ffmpeg: Python, npm, tar, a C++ compiler, nvidia-smi, and this tool itself. */
import { setTimeout } from 'node:timers/promises'
import { execa, type ResultPromise } from 'execa'

export type ProgramOptions = {
  cwd?: string
  env?: Record<string, string>
  signal?: AbortSignal | undefined
  /** After so long, the program is killed and has failed. */
  timeoutSeconds?: number
  /** After so much output, the program is killed and has failed. */
  maxBuffer?: number
}

/** A program that is missing, or that failed. The message is its last output. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError'
  readonly isMissing: boolean
  readonly timedOut: boolean

  constructor(message: string, { isMissing = false, timedOut = false }) {
    super(message)
    this.isMissing = isMissing
    this.timedOut = timedOut
  }
}

/**
 * Runs a program until it ends, or kills it when the signal is aborted.
 * @returns its stdout.
 * @throws ProgramError, or the reason of the signal.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  { signal, timeoutSeconds, ...options }: ProgramOptions = {},
): Promise<string> {
  const cancel = signal && { cancelSignal: signal }
  const running = execa(program, args, { ...options, ...cancel, stdin: 'ignore', reject: false })
  const result = await (timeoutSeconds === undefined ? running : orUndefined(running, timeoutSeconds))
  signal?.throwIfAborted()
  if (result === undefined) {
    abandon(running)
    throw new ProgramError(`${program} did not answer within ${timeoutSeconds} s`, { timedOut: true })
  }
  if (!result.failed) return String(result.stdout)
  const output = `${result.stdout}\n${result.stderr}`.split(/\r?\n/).filter((line) => line.trim() !== '')
  const message = output.slice(-3).join('\n') || String(result.shortMessage)
  throw new ProgramError(message, { isMissing: result.code === 'ENOENT' })
}

/** All that a program prints, to stdout and stderr, whether or not it succeeds; empty where it is missing. It is killed after `timeoutSeconds`. */
export async function outputOf(
  program: string,
  args: readonly string[],
  { timeoutSeconds, env }: Required<Pick<ProgramOptions, 'timeoutSeconds'>> & Pick<ProgramOptions, 'env'>,
): Promise<string> {
  const options = { ...(env && { env }), all: true, stdin: 'ignore', reject: false } as const
  const running = execa(program, args, options)
  const result = await orUndefined(running, timeoutSeconds)
  if (result !== undefined) return String(result.all ?? '')
  abandon(running)
  return ''
}

/** Whether a program is there, whatever its exit code is. */
export async function isInstalled(program: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await runProgram(program, ['--version'], { signal })
    return true
  } catch (error) {
    return !(error instanceof ProgramError && error.isMissing)
  }
}

/** The value of the promise, or undefined if it takes longer. */
async function orUndefined<T>(promise: Promise<T>, seconds: number): Promise<T | undefined> {
  const timer = new AbortController()
  const late = setTimeout(1000 * seconds, undefined, { signal: timer.signal }).catch(() => undefined)
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
  }
}

/** Kills a program without waiting for its end: a driver can block it, and programs that it has started may keep its output open. */
function abandon(program: ResultPromise) {
  program.kill('SIGKILL')
  program.unref()
  program.stdout?.destroy()
  program.stderr?.destroy()
}

/** The first of the programs that runs with these arguments; undefined where none does. @throws the reason of the signal. */
export async function firstProgram(
  programs: readonly string[],
  args: readonly string[],
  signal?: AbortSignal,
): Promise<string | undefined> {
  for (const program of programs) {
    try {
      await runProgram(program, args, { signal })
      return program
    } catch {
      signal?.throwIfAborted()
    }
  }
  return undefined
}
