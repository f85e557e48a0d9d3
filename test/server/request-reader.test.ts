import { describe, expect, it, vi } from 'vitest'
import { createRequestReader, sharedMilliseconds } from '../../src/server/request-reader.ts'
import { createFakeQueue } from './fake-queue.ts'
import { endpoint } from './test-server.ts'

const newRequest = { kind: 'train', endpoint, input: {}, parameters: {}, priority: 'normal' } as const

async function setUp() {
  const queue = createFakeQueue()
  const { id } = await queue.submit(newRequest)
  const clock = { time: 1000 }
  const get = vi.spyOn(queue, 'get')
  const reader = createRequestReader(queue, () => clock.time)
  const status = async (withLogs = false) => (await reader.read(id, withLogs))?.request.status
  return { queue, id, clock, get, reader, status }
}

describe('reads of requests', () => {
  it('are shared by those who ask at once', async () => {
    const { get, status } = await setUp()
    expect(await Promise.all(Array.from({ length: 200 }, () => status()))).toEqual(Array(200).fill('IN_QUEUE'))
    expect(get).toHaveBeenCalledTimes(1)
  })

  it('are shared no longer than documented', async () => {
    const { queue, id, clock, status } = await setUp()
    expect(await status()).toBe('IN_QUEUE')
    queue.start(id)
    clock.time += sharedMilliseconds - 1
    expect(await status()).toBe('IN_QUEUE')
    clock.time += 1
    expect(await status()).toBe('IN_PROGRESS')
  })

  it('show a cancellation and a removal at once', async () => {
    const { queue, id, reader } = await setUp()
    queue.start(id)
    await reader.read(id, false)
    await reader.queue.cancel(id)
    expect((await reader.read(id, false))?.request.cancelRequested).toBe(true)
    queue.finish(id, { output: {} })
    await reader.queue.remove(id)
    expect(await reader.read(id, false)).toBeUndefined()
  })

  it('that began before a cancellation are not shared after it', async () => {
    const { queue, id, get, reader } = await setUp()
    queue.start(id)
    let answer = () => {}
    const before = { ...(await queue.get(id)) } as NonNullable<Awaited<ReturnType<typeof queue.get>>>
    get.mockReturnValueOnce(new Promise((resolve) => (answer = () => resolve(before))))
    const early = reader.read(id, false)
    await reader.queue.cancel(id)
    const late = reader.read(id, false)
    answer()
    expect((await early)?.request.cancelRequested).toBe(false)
    expect((await late)?.request.cancelRequested).toBe(true)
  })

  it('have logs only where they are asked for', async () => {
    const { queue, id, reader } = await setUp()
    queue.start(id)
    queue.log(id, 'one')
    expect((await reader.read(id, false))?.logs).toBeNull()
    expect((await reader.read(id, true))?.logs?.map(({ message }) => message)).toEqual(['one'])
    expect((await reader.read(id, false))?.logs).toBeNull()
  })

  it('never show an earlier status after a later one', async () => {
    const { queue, id, clock, status } = await setUp()
    expect(await status(true)).toBe('IN_QUEUE')
    clock.time += sharedMilliseconds
    await status(false)
    queue.start(id)
    expect(await status(true)).toBe('IN_PROGRESS')
    expect(await status(false)).toBe('IN_PROGRESS')
  })

  it('that fail are not shared with later ones', async () => {
    const { get, status } = await setUp()
    get.mockRejectedValueOnce(new Error('no database'))
    await expect(status()).rejects.toThrow('no database')
    expect(await status()).toBe('IN_QUEUE')
  })
})
