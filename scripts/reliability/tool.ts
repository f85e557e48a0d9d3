/** Starts the built tool as a process that can be killed. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export type Exit = { code: number | null; signal: NodeJS.Signals | null; output: string; seconds: number }

export type RunningTool = { pid: number; kill(signal: NodeJS.Signals): void; exited: Promise<Exit> }

const bin = fileURLToPath(new URL('../../bin/ltx-a2a.js', import.meta.url))

/** Starts `ltx-a2a …args` in a folder, with its own cache. */
export function startTool(args: readonly string[], { cwd, cache }: { cwd: string; cache: string }): RunningTool {
  const started = performance.now()
  const env = { ...process.env, LTX_A2A_CACHE: cache, NO_COLOR: '1' }
  const child = spawn(process.execPath, [bin, ...args], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const exited = new Promise<Exit>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) =>
      resolve({ code, signal, output, seconds: (performance.now() - started) / 1000 }),
    )
  })
  return { pid: child.pid as number, kill: (signal) => child.kill(signal), exited }
}
