/** The built tool as people run it: a process of its own, in a folder of its own, without a window. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const projectPath = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

export const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-cli-'))

export type Outcome = { code: number | null; stdout: string; stderr: string }

export type RunOptions = {
  cwd?: string
  env?: Record<string, string>
  /** Sends a signal as soon as stderr says the word. */
  interrupt?: { at: string; signal: NodeJS.Signals }
}

const cache = newFolder()

/** `ltx-a2a …args`. It has no colour to turn off and finds nothing that an earlier test run left in the user's cache. */
export function ltxA2a(
  args: readonly string[],
  { cwd = newFolder(), env = {}, interrupt }: RunOptions = {},
): Promise<Outcome> {
  if (!existsSync(projectPath('dist/cli.js'))) throw new Error('there is no build to test: npm run build')
  const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env
  const child = spawn(process.execPath, [projectPath('bin/ltx-a2a.js'), ...args], {
    cwd,
    env: { ...inherited, LTX_A2A_CACHE: cache, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const isAlreadySaid = interrupt && said.stderr.includes(interrupt.at)
    said.stderr += text
    if (interrupt && !isAlreadySaid && said.stderr.includes(interrupt.at)) child.kill(interrupt.signal)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...said }))
  })
}
