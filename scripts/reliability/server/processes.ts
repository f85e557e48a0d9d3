/** Processes of the built tool that are killed and started again, and what they have started. Linux only: it reads /proc. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** `process`: its process group; the trainings that it has started have groups of their own, and notice. `machine`: all at once, as when the power fails. */
export type KillKind = 'process' | 'machine'

export type KilledProcess = {
  readonly name: string
  /** @returns how many processes were killed. */
  kill(kind: KillKind): Promise<number>
  /** Starts it, and waits until it is ready. It is tried again where it ends before, as a service manager does. */
  start(): Promise<void>
  /** @returns the exit code. */
  stop(): Promise<number | null>
  /** All that it has printed. */
  output(): string
}

export type ProcessOptions = {
  name: string
  args: readonly string[]
  /** The line that says it is ready. */
  ready: RegExp
  /** A folder for its cache and its temporary files, as of a machine of its own. */
  folder: string
  /** Called when it ends although nobody has killed it, after it was ready. */
  onUnexpectedEnd: (message: string) => void
}

const bin = fileURLToPath(new URL('../../../bin/ltx-a2a.js', import.meta.url))

/** Inherited by all that a process starts. */
const marker = 'LTX_A2A_KILL_TEST'

/** How often a process may end before it is ready: while PostgreSQL starts, too. */
const mostStarts = 20

export function createProcess({ name, args, ready, folder, onUnexpectedEnd }: ProcessOptions): KilledProcess {
  const [temp, cache] = [join(folder, 'temp'), join(folder, 'cache')]
  mkdirSync(temp, { recursive: true })
  const env = { ...process.env, LTX_A2A_CACHE: cache, TMPDIR: temp, NO_COLOR: '1', [marker]: folder }
  let output = ''
  let child: ChildProcess
  let isEnding = false
  const isRunning = () => child.exitCode === null && child.signalCode === null

  /** @returns whether it became ready. */
  const startOnce = async () => {
    const started = spawn(process.execPath, [bin, ...args], {
      env,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child = started
    isEnding = false
    let isReady = false
    started.on('exit', (code, signal) => {
      if (isReady && !isEnding) onUnexpectedEnd(`${name} ended by itself (${signal ?? code}): ${output.slice(-2000)}`)
    })
    return new Promise<boolean>((resolve) => {
      const lines = createInterface({ input: started.stderr as NonNullable<typeof started.stderr> })
      lines.on('line', (line) => {
        output += `${line}\n`
        if (!isReady && ready.test(line)) {
          isReady = true
          resolve(true)
        }
      })
      started.on('close', () => resolve(false))
    })
  }
  const end = async (send: () => void) => {
    isEnding = true
    const ended = once(child, 'exit')
    if (!isRunning()) return
    send()
    await ended
  }
  return {
    name,
    output: () => output,
    start: async () => {
      for (let starts = 1; !(await startOnce()); starts++) {
        if (starts === mostStarts) throw new Error(`${name} does not start: ${output.slice(-2000)}`)
        await sleep(500)
      }
    },
    kill: async (kind) => {
      const pids = kind === 'machine' ? processesOf(folder) : [-(child.pid as number)]
      await end(() => {
        for (const pid of pids) kill(pid)
      })
      return pids.length
    },
    stop: async () => {
      await end(() => child.kill('SIGTERM'))
      return child.exitCode
    },
  }
}

/** The processes that were started with this folder, or with one below it. */
export function processesOf(folder: string): number[] {
  const isOurs = (pid: string) => {
    try {
      const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
      return variables.some((variable) => `${variable}/`.startsWith(`${marker}=${folder}/`))
    } catch {
      return false // it has ended
    }
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isOurs(name))
    .map(Number)
}

function kill(pid: number) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it has ended
  }
}
