/** Servers that accept a connection and send nothing, or little. The timers are not real. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { downloadChecked } from '../../src/net/checked-download.ts'
import type { Fetch } from '../../src/net/fetch.ts'
import { openHttpSource } from '../../src/net/http-source.ts'
import { TransientError, withIdleTimeout } from '../../src/net/retry.ts'
import { projectFiles, readMetadata } from '../../src/setup/package-index.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

const url = new URL('https://me:secret@host.test/simple/')
const signal = new AbortController().signal
const silent: Fetch = (_, { signal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

/** Calls the function, and lets the time pass that it waits for. */
async function settled<Result>(
  work: (client: { fetch: Fetch; sleep: () => Promise<void> }) => Promise<Result>,
  fetch: Fetch,
) {
  let isDone = false
  const result = Promise.allSettled([work({ fetch, sleep: async () => {} })]).then(([outcome]) => {
    isDone = true
    return outcome
  })
  while (!isDone) {
    await new Promise(setImmediate)
    await vi.advanceTimersByTimeAsync(1000)
  }
  return result
}

const partFile = { url, path: join(mkdtempSync(join(tmpdir(), 'ltx-a2a-silence-')), 'x.whl'), sha256: 'a'.repeat(64) }

it.each<[what: string, shown: string, attempts: number, Parameters<typeof settled>[0]]>([
  ['the page of a project', 'https://host.test/simple/x/', 4, (client) => projectFiles('x', url, { client, signal })],
  ['METADATA', 'https://host.test/simple/', 4, (client) => readMetadata({ url }, { client, signal })],
  [
    'the size of a file',
    'https://host.test/simple/',
    2,
    (client) => openHttpSource(url, signal, client, { accessHint: () => '', attempts: 2 }),
  ],
  ['a file', 'https://host.test/simple/', 6, (client) => downloadChecked(partFile, { client, signal })],
])('%s is requested again, and then an error of one sentence', async (_, shown, attempts, work) => {
  const outcome = await settled(work, silent)
  expect(outcome).toMatchObject({
    reason: { name: 'UserError', message: `${shown} sent nothing for 60 s, ${attempts} times in a row` },
  })
  expect(vi.getTimerCount()).toBe(0)
})

it('no timer is left when a server cannot be reached', async () => {
  const refusing = async () => {
    throw new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) })
  }
  const outcome = await settled((client) => projectFiles('x', url, { client, signal }), refusing)
  expect(outcome).toMatchObject({ reason: { message: expect.stringContaining('cannot be reached (ECONNREFUSED)') } })
  expect(vi.getTimerCount()).toBe(0)
})

it('a page may take minutes while something arrives', async () => {
  const parts = ['{"files":', '[{"filename":"x.whl",', '"url":"x.whl"}', ']}']
  const body = () =>
    new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await new Promise((resolve) => setTimeout(resolve, 50_000))
        const part = parts.shift()
        if (part === undefined) controller.close()
        else controller.enqueue(Buffer.from(part))
      },
    })
  const slow = async () => new Response(body(), { headers: { 'content-type': 'application/json' } })
  const outcome = await settled((client) => projectFiles('x', url, { client, signal }), slow)
  expect(outcome).toMatchObject({ value: [{ name: 'x.whl' }] })
})

it('work that is stopped ends with the reason, even after its time is over', async () => {
  const controller = new AbortController()
  const work = withIdleTimeout('x', controller.signal, async ({ signal }) => {
    await vi.advanceTimersByTimeAsync(60_000)
    controller.abort(new Error('stopped'))
    signal.throwIfAborted()
  })
  await expect(work).rejects.toThrow('stopped')
  const late = withIdleTimeout('x', signal, async ({ signal }) => {
    await vi.advanceTimersByTimeAsync(60_000)
    signal.throwIfAborted()
  })
  await expect(late).rejects.toThrow(new TransientError('x sent nothing for 60 s'))
})
