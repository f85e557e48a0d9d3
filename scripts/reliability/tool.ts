/** The built tool as a process, to be run to its end or killed on the way. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export type Ending = { code: number | null; signal: NodeJS.Signals | null; said: string; seconds: number }

export type Running = { pid: number; kill(signal: NodeJS.Signals): void; ended: Promise<Ending> }

const bin = fileURLToPath(new URL('../../bin/ltx-a2a.js', import.meta.url))

/** Starts `ltx-a2a …args` in a folder, with a cache of its own. */
export function start(args: readonly string[], { cwd, cache }: { cwd: string; cache: string }): Running {
  const started = performance.now()
  const env = { ...process.env, LTX_A2A_CACHE: cache, NO_COLOR: '1' }
  const child = spawn(process.execPath, [bin, ...args], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = new Promise<Ending>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, said, seconds: (performance.now() - started) / 1000 }))
  })
  return { pid: child.pid as number, kill: (signal) => child.kill(signal), ended }
}
