/** Hostile input by the thousand, in a process that is watched: it must refuse in our words or succeed, soon, and touch nothing but its input. */
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
  /** For the inputs; must be empty. */
  folder: string
  onProgress?: (done: number) => void
}

export type FuzzReport = {
  inputs: number
  refused: number
  /** What should not have happened, with the number of the input. */
  findings: string[]
  slowestSeconds: number
  peakMib: number
}

/** A busy machine may make an innocent input wait; what is slow without hanging is found by the worker itself. */
const patienceSeconds = 20

export async function fuzz({ format, count, seed = 1, folder, onProgress }: FuzzOptions): Promise<FuzzReport> {
  const report: FuzzReport = { inputs: 0, refused: 0, findings: [], slowestSeconds: 0, peakMib: 0 }
  const canary = writeCanary(folder)
  const listener = await listen()
  const elsewhere = [canary.path, `http://127.0.0.1:${listener.port}/canary.wav`, `tcp://127.0.0.1:${listener.port}`]
  for (let from = 0; from < count; ) {
    const task = { format, seed, from, to: count, folder: join(folder, 'work'), elsewhere }
    from = await work(task, report, onProgress)
  }
  if (listener.calls() > 0) report.findings.push(`the network was used ${listener.calls()} times`)
  if (!canary.isUntouched()) report.findings.push('a file outside was written')
  await listener.close()
  return report
}

/** Runs a worker until it ends, hangs or dies. @returns the number of the input to go on with. */
function work(task: WorkerTask, report: FuzzReport, onProgress?: (done: number) => void): Promise<number> {
  const worker = fork(fileURLToPath(new URL('fuzz-worker.ts', import.meta.url)), [JSON.stringify(task)], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let [index, ended, timer] = [task.from, false, setTimeout(() => {}, 0)]
  const find = (index: number, what: string) => report.findings.push(`${task.format} ${task.seed}/${index}: ${what}`)
  const hang = () => {
    find(index, `hung for ${patienceSeconds} s`)
    worker.kill('SIGKILL')
  }
  worker.on('message', (message: WorkerMessage) => {
    clearTimeout(timer)
    if (message.kind === 'end') {
      ended = true
      worker.disconnect() // lets it leave; had it hung up itself, its last words could be lost
    } else index = message.index
    if (message.kind === 'next') timer = setTimeout(hang, patienceSeconds * 1000)
    if (message.kind === 'finding') find(index, message.what)
    if (message.kind === 'done') add(report, message, onProgress)
  })
  return new Promise((resolve, reject) => {
    worker.on('error', reject)
    worker.on('exit', (code, signal) => {
      clearTimeout(timer)
      if (!ended && signal !== null && signal !== 'SIGKILL') find(index, `died of ${signal}`)
      if (!ended && code !== 0 && code !== 1) find(index, `left with ${code}`)
      resolve(ended ? task.to : index + 1)
    })
  })
}

function add(
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

/** A sound beside the work folder: where `../canary` leads, and what the scripts point to. */
function writeCanary(folder: string) {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'canary.wav')
  const bytes = Buffer.from(noise('canary', 0.1))
  writeFileSync(path, bytes)
  return { path, isUntouched: () => readFileSync(path).equals(bytes) }
}

/** Counts who calls, and hangs up. */
async function listen() {
  let calls = 0
  const server = createServer((socket) => {
    calls++
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { port, calls: () => calls, close: () => new Promise<void>((resolve) => server.close(() => resolve())) }
}
