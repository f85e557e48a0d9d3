/** The programs that a setup needs: Python, npm, tar, a C++ compiler, and this very tool to look at the result. Nothing else here starts one. */
import { execa } from 'execa'

export type ProgramOptions = { cwd?: string; env?: Record<string, string> }

/** A program that is missing, or that ended badly. The message is what it said last. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError'
  readonly isMissing: boolean

  constructor(message: string, isMissing: boolean) {
    super(message)
    this.isMissing = isMissing
  }
}

/** Runs a program to its end. @returns what it wrote to stdout. @throws ProgramError */
export async function runProgram(program: string, args: readonly string[], options: ProgramOptions = {}) {
  const result = await execa(program, args, { ...options, stdin: 'ignore', reject: false })
  if (!result.failed) return String(result.stdout)
  const said = `${result.stdout}\n${result.stderr}`.split(/\r?\n/).filter((line) => line.trim() !== '')
  throw new ProgramError(said.slice(-3).join('\n') || String(result.shortMessage), result.code === 'ENOENT')
}

/** The first of the programs that runs with these arguments, or undefined. */
export async function firstProgram(programs: readonly string[], args: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    try {
      await runProgram(program, args)
      return program
    } catch {}
  }
  return undefined
}
