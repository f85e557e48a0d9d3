/** Fuzzing: thousands of mutated inputs in a worker process. Each must be accepted, or refused with a `UserError`, in time and without other effects. */
import { fork } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FormatName } from './formats.ts'
import type { WorkerMessage, WorkerTask } from './fuzz-worker.ts'
import { noise } from './tiny-data.ts'

export type FuzzOptions = {
  format: FormatName
  count: number
  seed?: number
  /** An empty folder for the inputs. */
  folder: string
  onProgress?: (done: number) => void
}

export type FuzzReport = {
  inputs: number
  refused: number
  /** Crashes, hangs and unexpected effects, with the number of the input. */
  findings: string[]
  slowestSeconds: number
  peakMib: number
}

/** After this time an input counts as a hang. It is long because the machine may be busy; the worker itself reports slow inputs. */
const hangSeconds = 20

export async function fuzz({ format, count, seed = 1, folder, onProgress }: FuzzOptions): Promise<FuzzReport> {
  const report: FuzzReport = { inputs: 0, refused: 0, findings: [], slowestSeconds: 0, peakMib: 0 }
  const canary = writeCanary(folder)
  const listener = await listen()
  const forbidden = [canary.path, `http://127.0.0.1:${listener.port}/canary.wav`, `tcp://127.0.0.1:${listener.port}`]
  for (let from = 0; from < count; ) {
    const task = { format, seed, from, to: count, folder: join(folder, 'work'), forbidden }
    from = await runWorker(task, report, onProgress)
  }
  if (listener.connections() > 0) report.findings.push(`${listener.connections()} connections were opened`)
  if (!canary.isUntouched()) report.findings.push('a file outside the work folder was changed')
  await listener.close()
  return report
}

/** Runs a worker until it finishes, hangs or crashes. @returns the number of the next input. */
function runWorker(task: WorkerTask, report: FuzzReport, onProgress?: (done: number) => void): Promise<number> {
  const worker = fork(fileURLToPath(new URL('fuzz-worker.ts', import.meta.url)), [JSON.stringify(task)], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let [index, ended, timer] = [task.from, false, setTimeout(() => {}, 0)]
  const addFinding = (index: number, what: string) =>
    report.findings.push(`${task.format} ${task.seed}/${index}: ${what}`)
  const hang = () => {
    addFinding(index, `hung for ${hangSeconds} s`)
    worker.kill('SIGKILL')
  }
  worker.on('message', (message: WorkerMessage) => {
    clearTimeout(timer)
    if (message.kind === 'end') {
      ended = true
      worker.disconnect() // the worker exits then; its last messages could be lost if it disconnected itself
    } else index = message.index
    if (message.kind === 'next') timer = setTimeout(hang, hangSeconds * 1000)
    if (message.kind === 'finding') addFinding(index, message.what)
    if (message.kind === 'done') addResult(report, message, onProgress)
  })
  return new Promise((resolve, reject) => {
    worker.on('error', reject)
    worker.on('exit', (code, signal) => {
      clearTimeout(timer)
      if (!ended && signal !== null && signal !== 'SIGKILL') addFinding(index, `was killed by ${signal}`)
      if (!ended && code !== 0 && code !== 1) addFinding(index, `exited with ${code}`)
      resolve(ended ? task.to : index + 1)
    })
  })
}

function addResult(
  report: FuzzReport,
  { refused, seconds, peakMib }: Extract<WorkerMessage, { kind: 'done' }>,
  onProgress?: (done: number) => void,
) {
  report.inputs++
  if (refused) report.refused++
  report.slowestSeconds = Math.max(report.slowestSeconds, seconds)
  report.peakMib = Math.max(report.peakMib, peakMib)
  onProgress?.(report.inputs)
}

/** A file outside the work folder that no input may change. Paths such as `../canary.wav` and the scripts point to it. */
function writeCanary(folder: string) {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'canary.wav')
  const bytes = Buffer.from(noise('canary', 0.1))
  writeFileSync(path, bytes)
  return { path, isUntouched: () => readFileSync(path).equals(bytes) }
}

/** A server that counts connections and closes them. */
async function listen() {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    connections: () => connections,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
}
