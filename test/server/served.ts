/** `ltx-a2a serve` as a process, for tests and benchmarks that use it as its users do. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { projectPath } from '../cli/bin.ts'

export type Served = { url: string; child: ChildProcess; stop(): Promise<void> }

/** Starts a server on a free port, with its queue and a worker. @param data its folder. */
export async function startServed(data: string, env: NodeJS.ProcessEnv, ...flags: string[]): Promise<Served> {
  const profiling = process.execArgv.filter((flag) => flag.startsWith('--cpu-prof'))
  const args = [...profiling, projectPath('bin/ltx-a2a.js'), 'serve', '--port', '0', '--data', data, ...flags]
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line)
    const [, url] = /^Listening on (http:\S+)$/.exec(line) ?? []
    if (url === undefined) continue
    child.stderr.resume()
    const stop = async () => {
      const ended = once(child, 'exit')
      if (child.exitCode === null && child.kill('SIGTERM')) await ended
    }
    return { url, child, stop }
  }
  throw new Error(lines.join('\n')) // it has ended
}
