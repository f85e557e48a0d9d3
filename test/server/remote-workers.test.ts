/** `ltx-a2a serve --workers 0` and `ltx-a2a worker`, as processes with folders of their own, of which one is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
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
async function start(ready: RegExp, ...args: string[]) {
  const child = spawn(process.execPath, [bin, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] })
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
  const parameters = Object.entries({ ...tiny, number_of_steps: steps })
  const flags = parameters.map(([name, value]) => `--${name.replaceAll('_', '-')}=${value}`)
  const child = spawn(process.execPath, [bin, 'train', '--data', zip, '--out', out, ...flags], { env, stdio: 'ignore' })
  expect(await once(child, 'exit')).toEqual([0, null])
  return readFileSync(join(out, 'lora.safetensors'))
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
    return start(/^Waiting for requests/, 'worker', ...places, '--name', name)
  }

  it('do the trainings, also when one is killed: every LoRA has the bytes of an undisturbed run', async () => {
    const flags = ['--port', '0', '--workers', '0', '--data', join(folder, 'serve'), '--queue', postgres.location]
    const server = await start(/^Listening on/, 'serve', ...flags)
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
})
