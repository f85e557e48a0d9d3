/** `ltx-a2a serve` as its users run it: a process, the official client, and what survives when it is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { QueueStatus } from '@fal-ai/client'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { noise } from '../../scripts/reliability/tiny-data.ts'
import { projectPath } from '../cli/bin.ts'
import { startServed } from './served.ts'
import { endpoint, falClient } from './test-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-serve-'))
afterAll(() => rmSync(folder, { recursive: true }))

const pairs = readFileSync(projectPath('fixtures/zips/valid/ten-pairs.zip'))
const bin = projectPath('bin/ltx-a2a.js')
const env = { ...process.env, LTX_A2A_CACHE: join(folder, 'cache'), LTX_A2A_KEY: undefined }

const running: ChildProcess[] = []
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL')
})

/** @returns where it listens, and the official client for it. */
async function serve(data: string, ...flags: string[]) {
  const { url, child } = await startServed(join(folder, data), env, ...flags)
  running.push(child)
  return { url, child, fal: falClient(url, 'any') }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals) {
  const ended = once(child, 'exit')
  child.kill(signal)
  const [code] = await ended
  return code as number | null
}

/** So small that a step takes milliseconds. */
const tiny = {
  ...{ audio_duration_seconds: 1, rank: '8', preview_interval: 0, checkpoint_interval: 5, backend: 'wasm' },
  trigger_phrase: 'tonech4nge',
}

/** The LoRA of the same training without a server. */
async function trained(steps: number): Promise<Buffer> {
  const out = join(folder, `direct-${steps}`)
  const lora = join(out, 'lora.safetensors')
  if (existsSync(lora)) return readFileSync(lora)
  const flags = Object.entries({ ...tiny, number_of_steps: steps }).map(
    ([name, value]) => `--${name.replaceAll('_', '-')}=${value}`,
  )
  const zip = projectPath('fixtures/zips/valid/ten-pairs.zip')
  const child = spawn(process.execPath, [bin, 'train', '--data', zip, '--out', out, ...flags], { env, stdio: 'ignore' })
  expect(await once(child, 'exit')).toEqual([0, null])
  return readFileSync(lora)
}

const download = async (url: string) => Buffer.from(await (await fetch(url)).arrayBuffer())

describe('ltx-a2a serve', () => {
  it('trains for the official client: upload, subscribe with logs, download, with the bytes of train', async () => {
    const { fal, child } = await serve('subscribe')
    const updates: QueueStatus[] = []
    const url = await fal.storage.upload(new File([pairs], 'pairs.zip', { type: 'application/zip' }))
    const voice = new File([noise('voice', 1)], 'a voice.wav', { type: 'audio/wav' })
    const reference_audio_url = await fal.storage.upload(voice)
    const previews = { validation: [{ prompt: 'tonech4nge', reference_audio_url }], preview_steps: 1 }
    const { data, requestId } = await fal.subscribe(endpoint, {
      input: { training_data_url: url, ...tiny, number_of_steps: 6, ...previews, debug_dataset: true },
      logs: true,
      pollInterval: 100,
      onQueueUpdate: (update) => updates.push(update),
    })
    type Files = Record<string, { url: string; file_name: string; file_size: number }>
    const { lora_file, config_file, audio, debug_dataset } = data as Files
    const lora = await download(lora_file?.url ?? '')
    expect(lora_file).toMatchObject({ file_name: 'lora.safetensors', file_size: lora.length })
    expect(lora.equals(await trained(6))).toBe(true)
    expect(JSON.parse((await download(config_file?.url ?? '')).toString())).toMatchObject({
      trigger_phrase: 'tonech4nge',
      parameters: { rank: 8, number_of_steps: 6 },
    })
    expect((await download(audio?.url ?? '')).subarray(0, 4).toString()).toBe('RIFF')
    expect((await download(debug_dataset?.url ?? '')).subarray(0, 2).toString()).toBe('PK')
    expect([...new Set(updates.map(({ status }) => status))].at(-1)).toBe('COMPLETED')
    const { logs } = (await fal.queue.status(endpoint, { requestId, logs: true })) as { logs: { message: string }[] }
    expect(logs.map(({ message }) => message).join('\n')).toMatch(/Training: .*6/)
    expect(await stop(child, 'SIGTERM')).toBe(0)
  }, 120_000)

  it('streams the log of a training, and stops it for the official client, with its checkpoint', async () => {
    const { fal, child } = await serve('cancelled')
    const url = await fal.storage.upload(new File([pairs], 'pairs.zip', { type: 'application/zip' }))
    const { request_id: requestId } = await fal.queue.submit(endpoint, {
      input: { training_data_url: url, ...tiny, number_of_steps: 20_000 },
    })
    const stream = await fal.queue.streamStatus(endpoint, { requestId, logs: true })
    let last: QueueStatus | undefined
    let isCancelled = false
    for await (const event of stream) {
      last = event
      if (isCancelled || !JSON.stringify(event).includes('Training: ')) continue
      await fal.queue.cancel(endpoint, { requestId })
      isCancelled = true
    }
    expect(last).toMatchObject({ status: 'COMPLETED', error_type: 'client_cancelled' })
    await expect(fal.queue.result(endpoint, { requestId })).rejects.toMatchObject({ status: 499 })
    expect(existsSync(join(folder, 'cancelled', 'files', 'runs', requestId, 'state.safetensors'))).toBe(true)
    expect(await stop(child, 'SIGTERM')).toBe(0)
  }, 120_000)

  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'goes on with a training after %s, with the same bytes',
    async (signal) => {
      const { fal, child } = await serve(signal)
      const zip = await fal.storage.upload(new File([pairs], 'pairs.zip', { type: 'application/zip' }))
      const input = { training_data_url: zip, ...tiny, number_of_steps: 150 }
      const { request_id: requestId } = await fal.queue.submit(endpoint, { input })
      const lines = async () => {
        const { logs } = (await fal.queue.status(endpoint, { requestId, logs: true })) as {
          logs?: { message: string }[]
        }
        return logs?.map(({ message }) => message).join('\n') ?? ''
      }
      await vi.waitFor(async () => expect((await lines()).slice(-500)).toMatch(/Training: \d+\/150/), {
        timeout: 60_000,
        interval: 50,
      })
      expect(await stop(child, signal)).toBe(signal === 'SIGKILL' ? null : 0)
      const again = await serve(signal)
      await again.fal.queue.subscribeToStatus(endpoint, { requestId, pollInterval: 200 })
      const { data } = await again.fal.queue.result(endpoint, { requestId })
      const { logs } = (await again.fal.queue.status(endpoint, { requestId, logs: true })) as {
        logs: { message: string }[]
      }
      expect(logs.map(({ message }) => message).join('\n')).toMatch(/Resuming after step \d+/)
      const { lora_file } = data as Record<string, { url: string }>
      expect((await download(lora_file?.url ?? '')).equals(await trained(150))).toBe(true)
    },
    180_000,
  )

  it('starts on a copy of the data of a stopped server, with its history and files, and goes on with its training', async () => {
    const { fal, child } = await serve('original')
    const zip = await fal.storage.upload(new File([pairs], 'pairs.zip', { type: 'application/zip' }))
    const submit = (number_of_steps: number) =>
      fal.queue.submit(endpoint, { input: { training_data_url: zip, ...tiny, number_of_steps } })
    const { request_id: finished } = await submit(6)
    await fal.queue.subscribeToStatus(endpoint, { requestId: finished, pollInterval: 100 })
    const { request_id: requestId } = await submit(150)
    const state = join(folder, 'original', 'files', 'runs', requestId, 'state.safetensors')
    await vi.waitFor(() => expect(existsSync(state)).toBe(true), { timeout: 60_000, interval: 20 })
    expect(await stop(child, 'SIGTERM')).toBe(0)
    cpSync(join(folder, 'original'), join(folder, 'copy'), { recursive: true })
    rmSync(join(folder, 'original'), { recursive: true })
    const copy = await serve('copy')
    const lora = async (requestId: string) => {
      const { data } = await copy.fal.queue.result(endpoint, { requestId })
      return download((data as Record<string, { url: string }>).lora_file?.url ?? '')
    }
    expect((await lora(finished)).equals(await trained(6))).toBe(true)
    await copy.fal.queue.subscribeToStatus(endpoint, { requestId, pollInterval: 200 })
    const { logs } = (await copy.fal.queue.status(endpoint, { requestId, logs: true })) as {
      logs: { message: string }[]
    }
    expect(logs.map(({ message }) => message).join('\n')).toMatch(/Resuming after step \d+/)
    expect((await lora(requestId)).equals(await trained(150))).toBe(true)
    expect(await (await fetch(`${copy.url}/requests`)).text()).toContain(finished)
  }, 180_000)

  it('tells clients what is wrong with their data, and with a URL into its own network', async () => {
    const { fal } = await serve('refused')
    const zip = await fal.storage.upload(new File([pairs], 'pairs.zip', { type: 'application/zip' }))
    const failure = (input: object) =>
      fal.subscribe(endpoint, { input: { ...tiny, number_of_steps: 1, ...input }, pollInterval: 100 }).then(
        () => 'no error',
        ({ status, body }) => ({ status, ...body.detail[0] }),
      )
    expect(await failure({ training_data_url: zip, audio_duration_seconds: 5 })).toMatchObject({
      status: 422,
      loc: ['body', 'training_data_url'],
      type: 'audio_duration_too_short',
      ctx: { min_duration: 5 },
    })
    const asked: string[] = []
    const inside = createServer((request, response) => {
      asked.push(request.url ?? '')
      response.end(pairs)
    })
    inside.listen(0)
    await once(inside, 'listening')
    const { port } = inside.address() as { port: number }
    for (const host of ['127.0.0.1', 'localhost', '169.254.169.254', '[::ffff:127.0.0.1]'])
      expect(await failure({ training_data_url: `http://${host}:${port}/pairs.zip` })).toMatchObject({
        status: 422,
        type: 'file_download_error',
      })
    expect(asked).toEqual([])
    inside.close()
  }, 120_000)

  it('downloads from its own network and calls webhooks there where that is allowed', async () => {
    const calls: { path: string; body: string }[] = []
    const inside = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      if (request.method === 'POST') calls.push({ path: request.url ?? '', body })
      response.end(request.method === 'POST' ? '' : pairs)
    })
    inside.listen(0, '127.0.0.1')
    await once(inside, 'listening')
    const { port } = inside.address() as { port: number }
    const { fal } = await serve('private', '--allow-private-urls')
    const input = { training_data_url: `http://127.0.0.1:${port}/pairs.zip`, ...tiny, number_of_steps: 2 }
    const { request_id } = await fal.queue.submit(endpoint, { input, webhookUrl: `http://127.0.0.1:${port}/done` })
    await vi.waitFor(() => expect(calls).toHaveLength(1), { timeout: 60_000, interval: 100 })
    expect(calls[0]?.path).toBe('/done')
    expect(JSON.parse(calls[0]?.body ?? '')).toMatchObject({
      request_id,
      status: 'OK',
      payload: {
        lora_file: { file_name: 'lora.safetensors', url: expect.stringMatching(/^http:.*lora\.safetensors$/) },
      },
    })
    inside.close()
  }, 120_000)

  it('refuses a second server on the same data, and an open address without a key', async () => {
    await serve('locked')
    await expect(serve('locked')).rejects.toThrow(/^error: .*locked is being written by process/m)
    await expect(serve('open', '--host', '0.0.0.0')).rejects.toThrow(/without a key/)
  }, 60_000)
})
