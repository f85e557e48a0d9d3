/** Many clients at once: every answer is right. How fast they are is measured by `npm run bench -- server`. */
import { expect, it } from 'vitest'
import { endpoint, serve } from './test-server.ts'

const times = <T>(count: number, work: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, index) => work(index)))

it('answers 200 pollers of two requests while 20 uploads arrive', async () => {
  const { queue, fetch, post, upload, errors } = await serve()
  const training_data_url = await upload('pairs')
  const submit = async () => {
    const response = await post(`/${endpoint}`, { training_data_url, trigger_phrase: 'tonech4nge' })
    return ((await response.json()) as { request_id: string }).request_id
  }
  const ids = [await submit(), await submit()] as const
  queue.start(ids[0])
  const content = (index: number) => `${index} `.repeat(300_000)
  const uploading = times(20, (index) => upload(content(index), `${index}.zip`))
  await times(200, async (index) => {
    const id = ids[index % 2] as string
    for (let poll = 0; poll < 5; poll++) {
      const response = await fetch(`/fal-ai/ltx23-trainer-v2/requests/${id}/status${index % 4 < 2 ? '?logs=1' : ''}`)
      expect(response.status).toBe(202)
      const status = index % 2 === 0 ? 'IN_PROGRESS' : 'IN_QUEUE'
      expect(await response.json()).toMatchObject({ status, request_id: id, logs: index % 4 < 2 ? [] : null })
    }
  })
  for (const [index, url] of (await uploading).entries())
    expect((await (await fetch(new URL(url).pathname)).text()) === content(index)).toBe(true)
  expect(errors).toEqual([])
})

it('keeps connections longer than proxies do', async () => {
  const { raw } = await serve()
  const { headers } = await raw('/health', { headers: { connection: 'keep-alive' } })
  expect(headers['keep-alive']).toBe('timeout=75')
})
