/** This tool as a process that does a job: it reports by lines on stderr, and is stopped by signals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import { StringDecoder } from 'node:string_decoder'

export type JobProcess = {
  readonly pid: number | undefined
  /** Asks the process to stop and save. */
  signal(name: 'SIGINT' | 'SIGTERM'): void
  /** Ends it at once, with all that it has started. */
  kill(): void
  /** Fulfilled when it has ended and all its lines were read. @throws the error of a program that cannot be started. */
  ended: Promise<ProcessEnd>
}

/** One of the two. */
export type ProcessEnd = { code: number | null; signal: NodeJS.Signals | null }

export type JobProcessOptions = {
  /** The script of the tool. */
  bin: string
  /** Added to the environment of this process. */
  env?: Readonly<Record<string, string>> | undefined
  /** Called with each line of stderr, without its end. @param isCut whether only its beginning is there. */
  onLine: (line: string, isCut: boolean) => void
}

/**
 * Starts the tool in a process group of its own: a Ctrl-C for this process does not reach it. It is given `--stop-with-stdin`, so that it saves and ends when
 * this process is killed. It has a low priority, so that a server on the same machine answers while all cores compute.
 */
export function startJobProcess(args: readonly string[], { bin, env, onLine }: JobProcessOptions): JobProcess {
  const child = spawn(process.execPath, [bin, ...args, '--stop-with-stdin'], {
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  })
  lowerPriority(child)
  child.stdin.on('error', () => undefined) // it has ended
  const { add, end } = createLineSplitter(onLine)
  child.stderr.on('data', add)
  const kill = () => killGroup(child)
  child.on('exit', kill) // ffmpeg, if it still runs, would keep stderr open
  return {
    pid: child.pid,
    signal: (name) => void child.kill(name),
    kill,
    ended: new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => {
        end()
        resolve({ code, signal })
      })
    }),
  }
}

/** At once, because threads that exist already would keep theirs. */
function lowerPriority({ pid }: ChildProcess) {
  if (pid === undefined) return
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // it has ended, or the system does not allow it
  }
}

function killGroup({ pid }: ChildProcess) {
  if (pid === undefined) return
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL')
  } catch {
    // all have ended
  }
}

/** The event of a large dataset has some hundred bytes for each pair. */
export const longestLine = 2 ** 20

/** Splits what it gets into lines. Of a line that is too long, the beginning is passed on. */
export function createLineSplitter(onLine: (line: string, isCut: boolean) => void) {
  const decoder = new StringDecoder('utf8')
  let [line, isCut] = ['', false]
  const append = (text: string) => {
    isCut ||= line.length + text.length > longestLine
    line += text.slice(0, longestLine - line.length)
  }
  const finish = () => {
    const finished = [line, isCut] as const
    ;[line, isCut] = ['', false]
    if (finished[0] !== '') onLine(...finished)
  }
  return {
    add: (bytes: Buffer) => {
      const [first = '', ...others] = decoder.write(bytes).split('\n')
      append(first)
      for (const text of others) {
        finish()
        append(text)
      }
    },
    end: () => {
      append(decoder.end())
      finish()
    },
  }
}
