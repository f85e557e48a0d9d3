/** Runs `ltx-a2a`: most tests call its `main` in this process; tests of signals, exit codes and kills start the built tool. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { main } from '../../src/cli/program.ts'

export const projectPath = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

export const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-cli-'))

export type Outcome = { code: number | null; stdout: string; stderr: string }

export type RunOptions = {
  /** A new, empty folder by default. */
  cwd?: string
  env?: Record<string, string>
}

const cache = newFolder()

/** The environment of a test: a separate cache, and without the variables of the caller that control colors and limits. */
const environment = (env: Record<string, string>): NodeJS.ProcessEnv => {
  const { NO_COLOR: _, FORCE_COLOR: __, LTX_A2A_LIMITS: ___, ...inherited } = process.env
  return { ...inherited, LTX_A2A_CACHE: cache, ...env }
}

/** Runs `ltx-a2a …args` in this process and collects its output. */
export function ltxA2a(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return inFolder(options, async () => {
    const { exitCode } = process
    const [stdout, stderr] = [collect(process.stdout), collect(process.stderr)]
    try {
      process.exitCode = 0
      await main([process.execPath, 'ltx-a2a', ...args])
      return { code: Number(process.exitCode), stdout: stdout.text(), stderr: stderr.text() }
    } finally {
      stdout.restore()
      stderr.restore()
      process.exitCode = exitCode
    }
  })
}

/** Runs `work` in a folder and with an environment. Calls run one after another, because both belong to the whole process. */
export function inFolder<T>({ cwd = newFolder(), env = {} }: RunOptions, work: () => Promise<T>): Promise<T> {
  const result = previous.then(async () => {
    const [folder, before] = [process.cwd(), process.env]
    try {
      process.chdir(cwd)
      process.env = environment(env)
      return await work()
    } finally {
      process.chdir(folder)
      process.env = before
    }
  })
  previous = result.catch(() => undefined)
  return result
}

let previous: Promise<unknown> = Promise.resolve()

/** Collects the text written to a stream, which is not a terminal until it is restored. */
function collect(stream: NodeJS.WriteStream) {
  const before = { write: stream.write, isTTY: stream.isTTY, columns: stream.columns }
  const listeners = stream.listeners('error')
  let text = ''
  const write = (chunk: string | Uint8Array, ...rest: unknown[]) => {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
    const callback = rest.at(-1)
    if (typeof callback === 'function') queueMicrotask(() => callback())
    return true
  }
  Object.assign(stream, { write, isTTY: false, columns: undefined })
  return {
    text: () => text,
    restore: () => {
      Object.assign(stream, before)
      for (const listener of stream.listeners('error'))
        if (!listeners.includes(listener)) stream.off('error', listener as () => void)
    },
  }
}

/** Runs the built tool as `ltx-a2a …args` in a separate process. @param interrupt sends a signal as soon as stderr contains the text. */
export function spawnLtxA2a(
  args: readonly string[],
  { cwd = newFolder(), env = {}, interrupt }: RunOptions & { interrupt?: { at: string; signal: NodeJS.Signals } } = {},
): Promise<Outcome> {
  if (!existsSync(projectPath('dist/cli/program.js'))) throw new Error('there is no build to test: npm run build')
  const child = spawn(process.execPath, [projectPath('bin/ltx-a2a.js'), ...args], {
    cwd,
    env: environment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const wasSent = interrupt && output.stderr.includes(interrupt.at)
    output.stderr += text
    if (interrupt && !wasSent && output.stderr.includes(interrupt.at)) child.kill(interrupt.signal)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...output }))
  })
}
