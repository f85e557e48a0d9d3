import { afterEach, expect, it, vi } from 'vitest'
import { endpoint, serve } from './test-server.ts'

afterEach(() => void vi.useRealTimers())

it('sends ASCII only, and comments while nothing happens', async () => {
  const { post, fetch, queue } = await serve()
  const submitted = await post(`/queue/${endpoint}`, { training_data_url: 'https://example.com/pairs.zip' })
  const { request_id: id } = (await submitted.json()) as { request_id: string }
  queue.start(id)
  queue.log(id, 'größer 日本 😀')
  vi.useFakeTimers({ toFake: ['Date'] })
  const response = await fetch(`/queue/fal-ai/ltx23-trainer-v2/requests/${id}/status/stream?logs=1`)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (!text.includes(': waiting')) vi.setSystemTime(Date.now() + 16_000)
    else if (queue.requests.get(id)?.status === 'IN_PROGRESS') queue.finish(id, { output: {} })
  }
  expect(text).toMatch(/^[\n\x20-\x7e]*$/)
  const [first, comment, last, end] = text.split('\n\n')
  expect(JSON.parse(first?.replace('data: ', '') ?? '')).toMatchObject({ logs: [{ message: 'größer 日本 😀' }] })
  expect(comment).toBe(': waiting')
  expect(JSON.parse(last?.replace('data: ', '') ?? '')).toMatchObject({ status: 'COMPLETED', logs: [] })
  expect(end).toBe('')
})
