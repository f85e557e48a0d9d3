/** `bench server`: how fast `serve` answers many clients while it receives uploads and a training runs. */
import { type ChildProcess, execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startServed } from '../../test/server/served.ts'
import type { LoadOptions, LoadResult } from './server-load.ts'

export type ServerBenchOptions = { pollers: number; uploads: number; uploadMegabytes: number; seconds: number }

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

/** That of @fal-ai/client. In milliseconds. */
const pollInterval = 500

export async function benchServer({ pollers, uploads, uploadMegabytes, seconds }: ServerBenchOptions) {
  const data = mkdtempSync(join(tmpdir(), 'ltx-a2a-bench-'))
  const busyBefore = await busyCores(2)
  const { child, url, stop } = await startServed(data, process.env)
  try {
    const id = await submit(url)
    const steps = () => stepsOf(join(data, 'files', 'runs', id))
    const deadline = Date.now() + 300_000
    while ((await steps()) < 2) {
      if (Date.now() > deadline) throw new Error('the training has not started within 300 s')
      await sleep(500)
    }
    const rate = async (work: Promise<unknown>) => {
      const [before, started] = [await steps(), performance.now()]
      await work
      return ((await steps()) - before) / ((performance.now() - started) / 1000)
    }
    const stepsPerSecondAlone = await rate(sleep(1000 * seconds))
    const statusPath = `/queue/fal-ai/ltx23-trainer-v2/requests/${id}/status`
    const load: LoadOptions = {
      ...{ url, statusPath, pollers, pollInterval, uploads, seconds },
      uploadBytes: uploadMegabytes * 1e6,
    }
    const cpuBefore = cpuSeconds(child)
    const started = performance.now()
    const loading = generateLoad(load)
    const stepsPerSecondLoaded = await rate(loading)
    const elapsed = (performance.now() - started) / 1000
    const { statusMilliseconds, uploadMilliseconds, errors, cpuShare } = await loading
    for (const error of errors.slice(0, 5)) console.error(error)
    const status = percentiles(statusMilliseconds)
    return {
      cores: availableParallelism(),
      otherProcessesCores: busyBefore,
      polls: statusMilliseconds.length,
      ...{ statusP50: status(0.5), statusP95: status(0.95), statusP99: status(0.99), statusMax: status(1) },
      uploads: uploadMilliseconds.length,
      ...{ uploadP50: percentiles(uploadMilliseconds)(0.5), uploadMax: percentiles(uploadMilliseconds)(1) },
      errors: errors.length,
      ...{ stepsPerSecondAlone, stepsPerSecondLoaded },
      serverCpuShare: (cpuSeconds(child) - cpuBefore) / elapsed,
      clientsCpuShare: cpuShare,
    }
  } finally {
    await stop()
    rmSync(data, { recursive: true, force: true })
  }
}

/** A training that is longer than the measurement. @returns its id. */
async function submit(url: string): Promise<string> {
  const body = readFileSync(path('fixtures/demo/pairs.zip'))
  const headers = { 'x-fal-file-name': 'pairs.zip' }
  const uploaded = await (await fetch(`${url}/files/upload`, { method: 'POST', body, headers })).json()
  const input = {
    training_data_url: (uploaded as { access_url: string }).access_url,
    ...{ audio_duration_seconds: 2.2, number_of_steps: 20_000, trigger_phrase: 'tonech4nge', preview_interval: 0 },
  }
  const init = { method: 'POST', body: JSON.stringify(input), headers: { 'content-type': 'application/json' } }
  const response = await fetch(`${url}/queue/fal-ai/ltx23-trainer-v2/a2a`, init)
  const { request_id: id } = (await response.clone().json()) as { request_id?: string }
  if (id === undefined) throw new Error(await response.text())
  return id
}

/** The steps that are in the metrics of a run. */
async function stepsOf(run: string): Promise<number> {
  const metrics = join(run, 'metrics.jsonl')
  return existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length - 1 : 0
}

async function generateLoad(load: LoadOptions): Promise<LoadResult> {
  const args = ['--import', 'tsx', path('scripts/bench/server-load.ts'), JSON.stringify(load)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 28 })
  return JSON.parse(stdout)
}

/** @returns the duration that so large a share of all is not longer than; NaN without any. */
function percentiles(durations: readonly number[]) {
  const sorted = [...durations].sort((a, b) => a - b)
  return (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

/** How many cores are busy with other processes, before the server is started. */
async function busyCores(seconds: number): Promise<number> {
  const times = () => {
    const all = cpus().map(({ times }) => times)
    return all.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0)
  }
  const before = times()
  await sleep(1000 * seconds)
  return (times() - before) / 1000 / seconds
}

/** CPU time of a process so far, where the system tells it (Linux). */
function cpuSeconds({ pid }: ChildProcess): number {
  const stat = `/proc/${pid}/stat`
  if (!existsSync(stat)) return Number.NaN
  const fields = readFileSync(stat, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100 // ticks of user and system time
}
