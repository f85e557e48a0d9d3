/** The log of `ltx-a2a serve` as JSON lines, of a training, uploads and refusals: its events, and that it has no secrets. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, expect, it, vi } from 'vitest'
import { projectPath } from '../cli/bin.ts'
import { endpoint, falClient } from './test-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-log-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('has an event for everything that happens to a request, and no secrets', async () => {
  const key = 'very-secret-key'
  const env = { ...process.env, LTX_A2A_CACHE: join(folder, 'cache'), LTX_A2A_KEY: key }
  const flags = ['--log-format', 'json', '--log-level', 'debug', '--allow-private-urls']
  const args = [projectPath('bin/ltx-a2a.js'), 'serve', '--port', '0', '--data', join(folder, 'data'), ...flags]
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'exit')
  const receiver = createServer((request, response) => {
    response.statusCode = request.url?.startsWith('/taken') ? 200 : 500
    response.end()
  })
  try {
    const lines: string[] = []
    createInterface({ input: child.stderr }).on('line', (line) => lines.push(line))
    const events = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    const waitFor = (event: string, values: object = {}) =>
      vi.waitFor(() => expect(events()).toContainEqual(expect.objectContaining({ event, ...values })), {
        timeout: 60_000,
        interval: 50,
      })
    await waitFor('server_started', { queue: 'embedded', workers: 1, level: 'info' })
    const url = String(events().find(({ event }) => event === 'server_started')?.url)
    const fal = falClient(url, key)
    receiver.listen(0, '127.0.0.1')
    await once(receiver, 'listening')
    const { port } = receiver.address() as { port: number }

    const zip = await fal.storage.upload(
      new File([readFileSync(projectPath('fixtures/zips/valid/ten-pairs.zip'))], 'pairs.zip'),
    )
    await waitFor('upload_completed')
    expect((await fetch(zip, { method: 'PUT', body: 'again' })).status).toBe(400)
    await waitFor('upload_refused', { status: 400, level: 'warn' })
    expect((await fetch(`${url}/metrics?key=${key}`, { headers: { authorization: 'Key wrong-key' } })).status).toBe(401)
    await waitFor('key_refused', { status: 401, path: '/metrics', address: '127.0.0.1' })

    const tiny = {
      ...{ training_data_url: zip, audio_duration_seconds: 1, rank: '8', preview_interval: 0, number_of_steps: 2 },
      ...{ backend: 'wasm', trigger_phrase: 'tonech4nge' },
    }
    const submit = async (input: object, hook: string) => {
      const webhookUrl = `http://127.0.0.1:${port}/${hook}?token=hook-secret`
      return (await fal.queue.submit(endpoint, { input: { ...tiny, ...input }, webhookUrl })).request_id
    }
    const done = await submit({}, 'taken')
    const failed = await submit({ audio_duration_seconds: 5 }, 'refused')
    await waitFor('request_queued', { request: done, kind: 'train', priority: 'normal' })
    await waitFor('request_started', { request: done, attempt: 1 })
    await waitFor('request_completed', { request: done, attempt: 1, seconds: expect.any(Number) })
    await waitFor('request_failed', { request: failed, status: 422, type: 'audio_duration_too_short' })
    await waitFor('webhook_delivered', { request: done })
    await waitFor('webhook_failed', { request: failed, level: 'warn' })
    const cancelled = await submit({ number_of_steps: 100_000 }, 'taken')
    await waitFor('request_started', { request: cancelled })
    await fal.queue.cancel(endpoint, { requestId: cancelled })
    await waitFor('request_cancel_requested', { request: cancelled })
    await waitFor('request_cancelled', { request: cancelled, status: 499, level: 'info' })
    await waitFor('http_request', { method: 'PUT', status: 200, path: '/files/uploads/:folder/:name', level: 'debug' })
    await fetch(`${url}${new URL(zip).pathname.replace('/files/', '/file/')}`)
    await waitFor('http_request', { status: 404, path: '/file (unknown)' })

    child.kill('SIGTERM')
    expect((await ended)[0]).toBe(0)
    await waitFor('server_stopping')
    await waitFor('server_stopped')
    for (const { time, level, message } of events()) {
      expect(new Date(String(time)).toISOString()).toBe(time)
      expect(['debug', 'info', 'warn', 'error']).toContain(level)
      expect(message).toEqual(expect.any(String))
    }
    const [, uploadId = ''] = /uploads\/([^/]+)\//.exec(zip) ?? []
    expect(uploadId).not.toBe('')
    for (const secret of [key, 'wrong-key', 'hook-secret', uploadId]) expect(lines.join('\n')).not.toContain(secret)
  } finally {
    child.kill('SIGKILL')
    receiver.close()
  }
}, 180_000)
