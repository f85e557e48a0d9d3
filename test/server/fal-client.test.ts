/** The official JavaScript client of the hosted API works with the server as it does with the original. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiError, QueueStatus, ValidationError } from '@fal-ai/client'
import { describe, expect, it } from 'vitest'
import { sharedMilliseconds } from '../../src/server/request-reader.ts'
import { endpoint, serve } from './test-server.ts'

const input = { training_data_url: 'https://example.com/pairs.zip' }

describe('the official client', () => {
  it('submits a request, with its options', async () => {
    const { fal, queue, url } = await serve()
    const webhookUrl = 'https://example.com/done?id=1'
    const submitted = await fal.queue.submit(endpoint, {
      input: { ...input, rank: '64' as unknown as number, resolution: 'high' },
      priority: 'low',
      startTimeout: 90,
      webhookUrl,
    })
    const id = submitted.request_id
    const at = `${url}/fal-ai/ltx23-trainer-v2/requests/${id}`
    expect(submitted).toEqual({
      status: 'IN_QUEUE',
      request_id: id,
      response_url: at,
      status_url: `${at}/status`,
      cancel_url: `${at}/cancel`,
      queue_position: 0,
      logs: null,
      metrics: {},
    })
    expect(queue.requests.get(id)).toMatchObject({
      kind: 'train',
      endpoint,
      input: { ...input, rank: '64', resolution: 'high' },
      parameters: { ...input, rank: 64 },
      priority: 'low',
      startTimeout: 90,
      webhook: webhookUrl,
    })
    expect(queue.requests.get(id)?.parameters).not.toHaveProperty('resolution')
  })

  it('sees its place in the queue, the log, and how the request ended', async () => {
    const { fal, queue } = await serve()
    await fal.queue.submit(endpoint, { input })
    const { request_id: requestId } = await fal.queue.submit(endpoint, { input })
    const status = (logs: boolean) => fal.queue.status(endpoint, { requestId, logs })
    expect(await status(true)).toMatchObject({ status: 'IN_QUEUE', queue_position: 1, logs: [] })
    queue.start(requestId)
    queue.log(requestId, 'Step 1', 'Schritt für Schritt')
    await sleep(sharedMilliseconds + 1) // what a worker does is seen a little later
    expect(await status(false)).toMatchObject({ status: 'IN_PROGRESS', logs: null })
    const running = await status(true)
    expect(running).not.toHaveProperty('queue_position')
    expect(running).toMatchObject({ logs: [{ message: 'Step 1' }, { message: 'Schritt für Schritt', source: 'USER' }] })
    queue.finish(requestId, { error: { status: 500, detail: 'The disk is full', type: 'internal_server_error' } })
    await sleep(sharedMilliseconds + 1)
    expect(await status(true)).toMatchObject({
      status: 'COMPLETED',
      error: 'The disk is full',
      error_type: 'internal_server_error',
      metrics: { inference_time: expect.any(Number) },
    })
  })

  it.each(['polling', 'streaming'] as const)('follows a request by %s, with its log, to the output', async (mode) => {
    const { fal, queue, data, url } = await serve()
    const updates: QueueStatus[] = []
    let id = ''
    const result = await fal.subscribe(endpoint, {
      input,
      logs: true,
      mode,
      pollInterval: 10,
      onEnqueue: (requestId) => {
        id = requestId
        setTimeout(() => queue.start(id), 50)
        setTimeout(() => queue.log(id, 'für', 'größer 日本'), 100)
        setTimeout(() => queue.log(id, 'last'), 200)
        setTimeout(() => finish(), 300)
      },
      onQueueUpdate: (update) => updates.push(structuredClone(update)),
    })
    function finish() {
      const folder = join(data, 'files', 'runs', id)
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'lora.safetensors'), 'weights')
      writeFileSync(join(folder, 'config.json'), '{}\n')
      const [lora_file, config_file] = [`runs/${id}/lora.safetensors`, `runs/${id}/config.json`]
      queue.finish(id, { output: { lora_file, config_file } })
    }
    const last = updates.at(-1)
    expect(updates.map(({ status }) => status)).toEqual(
      expect.arrayContaining(['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED']),
    )
    expect(last && 'logs' in last && last.logs.map(({ message }) => message)).toEqual(['für', 'größer 日本', 'last'])
    expect(result.requestId).toBe(id)
    expect(result.data).toEqual({
      lora_file: {
        url: `${url}/files/runs/${id}/lora.safetensors`,
        content_type: 'application/octet-stream',
        file_name: 'lora.safetensors',
        file_size: 7,
      },
      config_file: {
        url: `${url}/files/runs/${id}/config.json`,
        content_type: 'application/json',
        file_name: 'config.json',
        file_size: 3,
      },
    })
    expect(await (await fetch(result.data.lora_file.url)).text()).toBe('weights')
  })

  it('streams each line of the log once', async () => {
    const { fal, queue } = await serve()
    const { request_id: requestId } = await fal.queue.submit(endpoint, { input })
    queue.start(requestId)
    queue.log(requestId, 'a')
    const stream = await fal.queue.streamStatus(endpoint, { requestId, logs: true })
    setTimeout(() => queue.log(requestId, 'b', 'c'), 60)
    setTimeout(() => queue.finish(requestId, { output: {} }), 120)
    const events: QueueStatus[] = []
    for await (const event of stream) events.push(event)
    expect(events.flatMap((event) => ('logs' in event ? event.logs : [])).map(({ message }) => message)).toEqual([
      'a',
      'b',
      'c',
    ])
    expect(events.at(-1)?.status).toBe('COMPLETED')
  })

  it('cancels a request, once', async () => {
    const { fal, queue } = await serve()
    const { request_id: requestId } = await fal.queue.submit(endpoint, { input })
    queue.start(requestId)
    await fal.queue.cancel(endpoint, { requestId })
    expect(queue.requests.get(requestId)?.cancelRequested).toBe(true)
    queue.finish(requestId, { error: { status: 499, detail: 'Cancelled', type: 'request_cancelled' } })
    const again = await failure(fal.queue.cancel(endpoint, { requestId }))
    expect(again).toMatchObject({ status: 400, body: { status: 'ALREADY_COMPLETED' } })
    const result = await failure(fal.queue.result(endpoint, { requestId }))
    expect(result).toMatchObject({ status: 499, body: { detail: 'Cancelled', error_type: 'request_cancelled' } })
  })

  it('learns that a request does not exist or is not done', async () => {
    const { fal } = await serve()
    for (const requestId of ['00000000-0000-4000-8000-000000000000', 'x', "1'--"]) {
      expect(await failure(fal.queue.result(endpoint, { requestId }))).toMatchObject({ status: 404 })
      expect(await failure(fal.queue.status(endpoint, { requestId }))).toMatchObject({ status: 404 })
      expect(await failure(fal.queue.cancel(endpoint, { requestId }))).toMatchObject({
        status: 404,
        body: { status: 'NOT_FOUND' },
      })
    }
    const { request_id: requestId } = await fal.queue.submit(endpoint, { input })
    expect(await failure(fal.queue.result(endpoint, { requestId }))).toMatchObject({
      status: 400,
      requestId,
      body: { detail: 'Request is still in progress' },
    })
  })

  it('gets the findings of the worker as of the check of the input', async () => {
    const { fal, queue } = await serve()
    const { request_id: requestId } = await fal.queue.submit(endpoint, { input })
    const ctx = { min_duration: 5, provided_duration: 2 }
    const type = 'audio_duration_too_short'
    const detail = [{ loc: ['body', 'training_data_url'], msg: 'Too short', type, ctx }] as const
    queue.finish(requestId, { error: { status: 422, detail } })
    const error = (await failure(fal.queue.result(endpoint, { requestId }))) as ValidationError
    expect(error.getFieldErrors('training_data_url')).toEqual([
      { ...detail[0], url: 'https://docs.fal.ai/errors#audio_duration_too_short' },
    ])
    expect(await fal.queue.status(endpoint, { requestId })).toMatchObject({ error: 'training_data_url: Too short' })
  })

  it('uploads files, which a request then names by their keys', async () => {
    const { fal, queue, data, url } = await serve()
    const file = new File(['content'], 'Löcher & "Pairs".zip', { type: 'application/zip' })
    const uploaded = await fal.storage.upload(file)
    expect(uploaded.startsWith(`${url}/files/uploads/`)).toBe(true)
    const response = await fetch(uploaded)
    expect(await response.text()).toBe('content')
    expect(response.headers.get('content-type')).toBe('application/zip')
    const { request_id: requestId } = await fal.queue.submit(endpoint, {
      // a Blob is uploaded by the client itself
      input: {
        training_data_url: uploaded,
        validation: [{ reference_audio_url: new Blob(['sound'], { type: 'audio/wav' }) }],
      },
    } as never)
    const parameters = queue.requests.get(requestId)?.parameters as {
      training_data_url: string
      validation: { reference_audio_url: string }[]
    }
    const contentOf = (place = '') => readFileSync(join(data, 'files', place.replace('server-file:', '')), 'utf8')
    expect(parameters.training_data_url).toMatch(/^server-file:uploads\/[0-9a-f-]{36}\/Löcher & _Pairs_\.zip$/)
    expect(contentOf(parameters.training_data_url)).toBe('content')
    expect(contentOf(parameters.validation[0]?.reference_audio_url)).toBe('sound')
  })

  it('uploads large files in parts', async () => {
    const { fal, queue, data } = await serve()
    const size = 91 * 2 ** 20
    const bytes = new Uint8Array(size)
    for (let i = 0; i < size; i += 65_536) bytes[i] = (i / 65_536) % 251
    const uploaded = await fal.storage.upload(new File([bytes], 'large.bin'))
    const { request_id: requestId } = await fal.queue.submit(endpoint, { input: { training_data_url: uploaded } })
    const place = String(queue.requests.get(requestId)?.parameters.training_data_url)
    const stored = readFileSync(join(data, 'files', place.replace('server-file:', '')))
    expect(Buffer.compare(stored, bytes)).toBe(0)
  })

  it('runs a request while it waits, and gets the output or the error', async () => {
    const { fal, queue } = await serve()
    const work = (result: Parameters<typeof queue.finish>[1]) => {
      const timer = setInterval(() => {
        const waiting = [...queue.requests.values()].find(({ status }) => status === 'IN_QUEUE')
        if (!waiting) return
        clearInterval(timer)
        queue.finish(waiting.id, result)
      }, 20)
    }
    work({ output: { note: 'done' } })
    const result = await fal.run(endpoint, { input })
    expect(result).toEqual({ data: { note: 'done' }, requestId: [...queue.requests.keys()][0] })
    work({ error: { status: 500, detail: 'Out of memory', type: 'out_of_memory' } })
    expect(await failure(fal.run(endpoint, { input }))).toMatchObject({
      status: 500,
      body: { error_type: 'out_of_memory' },
    })
  })

  it('is refused with another key', async () => {
    const { url, fal } = await serve({ key: 'secret:part' })
    expect((await fal.queue.submit(endpoint, { input })).status).toBe('IN_QUEUE')
    const { falClient } = await import('./test-server.ts')
    const error = await failure(falClient(url, 'secret:parT').queue.submit(endpoint, { input }))
    expect(error).toMatchObject({ status: 401, body: { detail: 'invalid key credentials' } })
  })
})

const failure = (work: Promise<unknown>): Promise<ApiError<unknown>> =>
  work.then(
    () => Promise.reject(new Error('it succeeded')),
    (error) => error,
  )
