/** External programs other than ffmpeg: Python, npm, tar, a C++ compiler, nvidia-smi, and this tool itself. */
import { execa } from 'execa'

export type ProgramOptions = { cwd?: string; env?: Record<string, string>; signal?: AbortSignal | undefined }

/** A program that is missing, or that failed. The message is its last output. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError'
  readonly isMissing: boolean

  constructor(message: string, isMissing: boolean) {
    super(message)
    this.isMissing = isMissing
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
  { signal, ...options }: ProgramOptions = {},
): Promise<string> {
  const cancel = signal && { cancelSignal: signal }
  const result = await execa(program, args, { ...options, ...cancel, stdin: 'ignore', reject: false })
  signal?.throwIfAborted()
  if (!result.failed) return String(result.stdout)
  const output = `${result.stdout}\n${result.stderr}`.split(/\r?\n/).filter((line) => line.trim() !== '')
  throw new ProgramError(output.slice(-3).join('\n') || String(result.shortMessage), result.code === 'ENOENT')
}

/** The first of the programs that runs with these arguments; undefined where none does. */
export async function firstProgram(programs: readonly string[], args: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    try {
      await runProgram(program, args)
      return program
    } catch {}
  }
  return undefined
}
