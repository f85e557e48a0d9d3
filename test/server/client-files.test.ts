/** What clients read names files, not the folders of the server. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { readJobFile } from '../../src/config/job-file.ts'
import { resolveTrainSettings } from '../../src/config/settings.ts'
import { largestConfigBytes } from '../../src/server/client-config.ts'
import { endpoint, serve } from './test-server.ts'

const config = {
  tool: 'ltx-a2a',
  training_type: 'audio_to_audio_lora',
  trigger_phrase: '/not/a/place',
  parameters: {
    training_data_url: '/srv/my data/files/uploads/x/pairs.zip',
    holdout_data: 'https://example.com/held/out.zip',
    model: '/home/owner/a/transformer.safetensors,/home/owner/b/vae.safetensors',
    validation: [{ prompt: 'a/b/c', reference_audio_url: '/srv/my data/files/uploads/y/voice.wav' }],
    trigger_phrase: '/not/a/place',
    rank: 8,
    out: '/srv/my data/files/runs/z',
  },
  changes: [{ after_step: 3, changed: { training_data_url: { from: '/srv/old/a.zip', to: '/srv/new/b.zip' } } }],
}

async function serveRun(text: string) {
  const server = await serve()
  const { request_id: id } = (await (
    await server.post(`/${endpoint}`, { training_data_url: 'https://example.com/pairs.zip' })
  ).json()) as { request_id: string }
  const run = join(server.data, 'files', 'runs', id)
  mkdirSync(run, { recursive: true })
  writeFileSync(join(run, 'config.json'), text)
  server.queue.finish(id, { output: { config_file: `runs/${id}/config.json` } })
  const result = (await (await server.fetch(`/${endpoint}/requests/${id}`)).json()) as {
    config_file: { url: string; file_size: number }
  }
  return { ...server, ...result.config_file, path: new URL(result.config_file.url).pathname }
}

it('the config of a run is a job file without places of the server', async () => {
  const { fetch, path, file_size: size } = await serveRun(JSON.stringify(config))
  const text = await (await fetch(path)).text()
  expect(text).not.toMatch(/srv|owner|"out"/)
  expect(Buffer.byteLength(text)).toBe(size)
  expect(JSON.parse(text)).toMatchObject({
    parameters: {
      training_data_url: 'pairs.zip',
      holdout_data: 'https://example.com/held/out.zip',
      model: 'transformer.safetensors,vae.safetensors',
      validation: [{ prompt: 'a/b/c', reference_audio_url: 'voice.wav' }],
      trigger_phrase: '/not/a/place',
    },
    changes: [{ changed: { training_data_url: { from: 'a.zip', to: 'b.zip' } } }],
  })
  const folder = mkdtempSync(join(tmpdir(), 'job-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'config.json')
  writeFileSync(file, text)
  writeFileSync(join(folder, 'pairs.zip'), 'data')
  const { settings } = resolveTrainSettings({ savedJob: { job: readJobFile(file), file } })
  expect(settings).toMatchObject({ trainingDataUrl: join(folder, 'pairs.zip'), rank: 8 })
})

it('the config of a run has ranges, which fit its size, and nothing of a file that is no JSON or is too large', async () => {
  const { fetch, path, file_size: size } = await serveRun(JSON.stringify(config))
  const part = await fetch(path, { headers: { range: 'bytes=2-9' } })
  expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 2-9/${size}`])
  expect(await part.text()).toBe((await (await fetch(path)).text()).slice(2, 10))
  const broken = await serveRun('{"parameters": "/srv/secret/')
  expect(await (await broken.fetch(broken.path)).text()).toBe('{}\n')
  const large = await serveRun(JSON.stringify({ ...config, padding: ' '.repeat(largestConfigBytes) }))
  expect([await (await large.fetch(large.path)).text(), large.file_size]).toEqual(['{}\n', 3])
})

it('a worker that has the request gets the files of its run as they were written, and nobody else does', async () => {
  const { fetch, post, queue, data } = await serve()
  const { request_id: id } = (await (
    await post(`/${endpoint}`, { training_data_url: 'https://example.com/pairs.zip' })
  ).json()) as { request_id: string }
  const run = join(data, 'files', 'runs', id)
  mkdirSync(run, { recursive: true })
  writeFileSync(join(run, 'config.json'), JSON.stringify(config))
  const status = async (attempt: string) => (await fetch(`/internal/runs/${id}/config.json?attempt=${attempt}`)).status
  expect(await status('0')).toBe(412)
  queue.start(id)
  const answer = await fetch(`/internal/runs/${id}/config.json?attempt=0`)
  expect(await answer.text()).toBe(readFileSync(join(run, 'config.json'), 'utf8'))
  expect(await status('1')).toBe(412)
})
