/** `ltx-a2a serve --workers 0` and `ltx-a2a worker`, as processes with folders of their own or the server's, of which one is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openDatabase } from '../../src/queue/database.ts'
import { projectPath } from '../cli/bin.ts'
import { needs } from '../needs.ts'
import { hasPostgres, startPostgres } from '../queue/postgres.ts'
import { endpoint, falClient } from './test-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-workers-'))
const bin = projectPath('bin/ltx-a2a.js')
const zip = projectPath('fixtures/zips/valid/ten-pairs.zip')
const env = { ...process.env, LTX_A2A_CACHE: join(folder, 'cache'), LTX_A2A_KEY: 'secret' }
const running: ChildProcess[] = []

/** Starts the tool. @returns the line that says it is ready. */
async function start(ready: RegExp, args: readonly string[], more: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [bin, ...args], {
    env: { ...env, ...more },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  running.push(child)
  const lines: string[] = []
  const reader = createInterface({ input: child.stderr as NonNullable<typeof child.stderr> })
  const line = await new Promise<string>((resolve, reject) => {
    reader.on('line', (line) => {
      lines.push(line)
      if (ready.test(line)) resolve(line)
    })
    reader.on('close', () => reject(new Error(lines.join('\n'))))
  })
  return { child, line, lines }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals) {
  const ended = once(child, 'exit')
  child.kill(signal)
  return (await ended)[0] as number | null
}

/** So small that a step takes milliseconds. */
const tiny = {
  ...{ audio_duration_seconds: 1, rank: '8', preview_interval: 0, checkpoint_interval: 5, backend: 'wasm' },
  trigger_phrase: 'tonech4nge',
}

async function trainedAlone(steps: number): Promise<Buffer> {
  const out = join(folder, `alone-${steps}`)
  const lora = join(out, 'lora.safetensors')
  if (existsSync(lora)) return readFileSync(lora)
  const parameters = Object.entries({ ...tiny, number_of_steps: steps })
  const flags = parameters.map(([name, value]) => `--${name.replaceAll('_', '-')}=${value}`)
  const child = spawn(process.execPath, [bin, 'train', '--data', zip, '--out', out, ...flags], { env, stdio: 'ignore' })
  expect(await once(child, 'exit')).toEqual([0, null])
  return readFileSync(lora)
}

describe.skipIf(!hasPostgres)('workers on other machines', needs('the server programs of PostgreSQL'), () => {
  let postgres: Awaited<ReturnType<typeof startPostgres>>
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterAll(async () => {
    for (const child of running) child.kill('SIGKILL')
    await postgres?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const startWorker = (name: string, server: string) => {
    const places = ['--queue', postgres.location, '--server', server, '--data', join(folder, name)]
    return start(/^Waiting for requests/, ['worker', ...places, '--name', name])
  }

  it('do the trainings, also when one is killed: every LoRA has the bytes of an undisturbed run', async () => {
    const flags = ['--port', '0', '--workers', '0', '--data', join(folder, 'serve'), '--queue', postgres.location]
    const server = await start(/^Listening on/, ['serve', ...flags])
    const url = server.line.replace('Listening on ', '')
    const fal = falClient(url, 'secret')
    const data = await fal.storage.upload(new File([readFileSync(zip)], 'pairs.zip', { type: 'application/zip' }))
    const submit = async (steps: number) => {
      const input = { training_data_url: data, ...tiny, number_of_steps: steps }
      return { steps, requestId: (await fal.queue.submit(endpoint, { input })).request_id }
    }
    const requests = [await submit(150), await submit(20), await submit(20), await submit(20)]
    const [long] = requests
    const lines = async (requestId = '') => {
      const { logs } = (await fal.queue.status(endpoint, { requestId, logs: true })) as {
        logs?: { message: string }[]
      }
      return logs?.map(({ message }) => message).join('\n') ?? ''
    }
    const first = await startWorker('first', url)
    const savedState = join(folder, 'serve', 'files', 'runs', long?.requestId ?? '', 'state.safetensors')
    await vi.waitFor(() => readFileSync(savedState), { timeout: 60_000, interval: 20 })
    const second = await startWorker('second', url)
    expect(await lines(long?.requestId)).not.toMatch(/Training: 150 steps/)
    await stop(first.child, 'SIGKILL')
    const expected = new Map([
      [150, await trainedAlone(150)],
      [20, await trainedAlone(20)],
    ])
    for (const { steps, requestId } of requests) {
      await fal.queue.subscribeToStatus(endpoint, { requestId, pollInterval: 200 })
      const { data } = await fal.queue.result(endpoint, { requestId })
      const { lora_file } = data as { lora_file: { url: string } }
      const lora = Buffer.from(await (await fetch(lora_file.url)).arrayBuffer())
      expect([steps, expected.get(steps)?.equals(lora)]).toEqual([steps, true])
    }
    expect(await lines(long?.requestId)).toMatch(/Resuming after step \d+/)
    expect(readdirSync(join(folder, 'second', 'runs'))).toEqual([])
    expect(await stop(second.child, 'SIGTERM')).toBe(0)
    expect(await stop(server.child, 'SIGTERM')).toBe(0)
  }, 180_000)

  it('share the data folder of the server without its URL, also when one is killed', async () => {
    const data = join(folder, 'shared')
    const queue = { LTX_A2A_QUEUE: await newDatabase(postgres.location, 'shared') }
    const serveFlags = ['--port', '0', '--workers', '0', '--data', data]
    const server = await start(/^Listening on/, ['serve', ...serveFlags], queue)
    const fal = falClient(server.line.replace('Listening on ', ''), 'secret')
    const url = await fal.storage.upload(new File([readFileSync(zip)], 'pairs.zip', { type: 'application/zip' }))
    const input = { training_data_url: url, ...tiny, number_of_steps: 150 }
    const { request_id: requestId } = await fal.queue.submit(endpoint, { input })
    const shareData = (name: string) =>
      start(/^Waiting for requests/, ['worker', '--data', data, '--name', name], queue)
    const first = await shareData('first')
    const run = join(data, 'files', 'runs', requestId)
    await vi.waitFor(() => readFileSync(join(run, 'state.safetensors')), { timeout: 60_000, interval: 20 })
    const second = await shareData('second') // while the server and the first one use the folder
    await stop(first.child, 'SIGKILL')
    await fal.queue.subscribeToStatus(endpoint, { requestId, pollInterval: 200 })
    const { logs } = (await fal.queue.status(endpoint, { requestId, logs: true })) as { logs: { message: string }[] }
    expect(logs.map(({ message }) => message).join('\n')).toMatch(/Resuming after step \d+/)
    expect(readFileSync(join(run, 'lora.safetensors')).equals(await trainedAlone(150))).toBe(true)
    expect(await stop(second.child, 'SIGTERM')).toBe(0)
    await expect(start(/^Listening/, ['serve', ...serveFlags], queue)).rejects.toThrow('shared is being written by')
    expect(await stop(server.child, 'SIGTERM')).toBe(0)
  }, 180_000)

  it('refuse a folder that is not that of a server with this queue and version', async () => {
    const [empty, data, older] = ['empty', 'refusing', 'older'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ]
    mkdirSync(empty)
    const queue = { LTX_A2A_QUEUE: await newDatabase(postgres.location, 'refusing') }
    const server = await start(/^Listening on/, ['serve', '--port', '0', '--workers', '0', '--data', data], queue)
    expect(await stop(server.child, 'SIGTERM')).toBe(0)
    const elsewhere = ['serve', '--port', '0', '--workers', '0', '--data', join(folder, 'elsewhere')]
    await expect(start(/^Listening/, elsewhere, queue)).rejects.toThrow('belongs to a server with another data folder')
    cpSync(data, older, { recursive: true })
    const mark = join(older, 'server.json')
    writeFileSync(mark, JSON.stringify({ ...JSON.parse(readFileSync(mark, 'utf8')), version: '0.0.1' }))
    const refusal = async (folder: string, environment: Record<string, string> = queue) => {
      const started = start(/^Waiting/, ['worker', '--data', folder], environment)
      const message = await started.then(
        () => 'accepted',
        (error: Error) => error.message,
      )
      const child = running.at(-1) as ChildProcess
      if (child.exitCode === null) await once(child, 'exit')
      return `${child.exitCode}: ${message}`
    }
    expect(await refusal(empty)).toMatch(/^2: error: .*empty is not the data folder of a server/)
    expect(await refusal(join(folder, 'missing'))).toMatch(/^2: error: .*missing is not the data folder of a server/)
    expect(await refusal(older)).toMatch(/^2: error: .*older has version 0\.0\.1, and this worker/)
    const other = { LTX_A2A_QUEUE: await newDatabase(postgres.location, 'other') }
    expect(await refusal(data, other)).toMatch(/^2: error: .*refusing belongs to a server with another queue/)
    await expect(start(/^Waiting/, ['worker'], queue)).rejects.toThrow('there is neither --server nor --data')
    await expect(start(/^Waiting/, ['worker', '--data', data])).rejects.toThrow('there is no --queue')
  }, 60_000)
})

/** A database of its own for a test. @returns its URL. */
async function newDatabase(location: string, name: string): Promise<string> {
  const database = await openDatabase(location)
  await database.query(`create database ${name}`)
  await database.close()
  return location.replace(/[^/]*$/, name)
}
