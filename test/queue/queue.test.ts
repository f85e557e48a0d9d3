import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Database, openDatabase } from '../../src/queue/database.ts'
import { type Claim, openQueue, type Queue } from '../../src/queue/queue.ts'
import type { LogLine, NewRequest, QueuedRequest } from '../../src/queue/request.ts'
import { needs } from '../needs.ts'
import { hasPostgres, startPostgres } from './postgres.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-queue-'))
afterAll(() => rmSync(folder, { recursive: true }))

const request = (change: Partial<NewRequest> = {}): NewRequest => ({
  kind: 'train',
  endpoint: 'fal-ai/ltx23-trainer-v2/a2a',
  input: { training_data_url: 'http://127.0.0.1/pairs.zip', rank: '8' },
  parameters: { training_data_url: 'server-file:uploads/1/pairs.zip', rank: 8 },
  priority: 'normal',
  ...change,
})

const line = (message: string): LogLine => ({
  ...{ message, level: 'INFO', source: 'USER' },
  timestamp: new Date(0).toISOString(),
})

/** Long enough for a slow machine to send heartbeats in time, short enough to wait for. */
const leaseSeconds = 2

const embedded = async () => ({ location: join(folder, 'embedded'), stop: async () => {} })

describe('the queue on embedded PostgreSQL', () => testQueue('embedded', embedded))

describe.skipIf(!hasPostgres)('the queue on a PostgreSQL server', needs('the server programs of PostgreSQL'), () =>
  testQueue('server', startPostgres),
)

function testQueue(engine: 'embedded' | 'server', start: () => Promise<{ location: string; stop(): Promise<void> }>) {
  let server: { location: string; stop(): Promise<void> }
  let queue: Queue
  const errors: Error[] = []
  const open = async () =>
    openQueue(await openDatabase(server.location), { leaseSeconds, onError: (error) => errors.push(error) })
  beforeAll(async () => {
    server = await start()
    queue = await open()
  }, 60_000)
  afterAll(async () => {
    await queue?.close()
    await copy?.close()
    await server?.stop()
    expect(errors).toEqual([])
  })

  const claim = async () => (await queue.claim('worker')) as Claim
  const status = async ({ id }: QueuedRequest) => (await queue.get(id))?.status

  it('gives requests in the order of their priority and their time, and keeps what they are', async () => {
    const [low, first, second] = [
      await queue.submit(request({ priority: 'low' })),
      await queue.submit(request({ timeLimit: 5, webhook: 'https://example.org/done' })),
      await queue.submit(request()),
    ]
    expect(await Promise.all([low, first, second].map(({ id }) => queue.position(id)))).toEqual([2, 0, 1])
    expect(await queue.get(first.id)).toEqual(first)
    expect(first).toMatchObject({ status: 'IN_QUEUE', timeLimit: 5, webhook: 'https://example.org/done', attempts: 0 })
    expect(first.submittedAt).toBeInstanceOf(Date)
    expect((await queue.list({ limit: 2 })).map(({ id }) => id)).toEqual([second.id, first.id])
    expect((await queue.list({ limit: 2, before: first.id })).map(({ id }) => id)).toEqual([low.id])
    const claims = [await claim(), await claim(), await claim()]
    expect(claims.map(({ request }) => request.id)).toEqual([first.id, second.id, low.id])
    expect(claims[0]?.request).toMatchObject({ ...request(), status: 'IN_PROGRESS', worker: 'worker', attempts: 1 })
    expect(await queue.claim('another')).toBeUndefined()
    for (const claim of claims) expect(await claim.complete({ lora_file: 'runs/x/lora.safetensors' })).toBe(true)
    expect(await queue.get(first.id)).toMatchObject({
      status: 'COMPLETED',
      output: { lora_file: 'runs/x/lora.safetensors' },
      error: undefined,
    })
  })

  it('knows no request of another id', async () => {
    expect(await queue.get('1')).toBeUndefined()
    expect(await queue.get('00000000-0000-4000-8000-000000000000')).toBeUndefined()
    expect(await queue.cancel("' or 1=1")).toBe('unknown')
    expect(await queue.resume('00000000-0000-4000-8000-000000000000')).toBe(false)
  })

  it('ends a request that no worker takes within its timeout, and no other', async () => {
    const [late, patient] = [await queue.submit(request({ startTimeout: 0.2 })), await queue.submit(request())]
    await queue.supervise()
    expect(await status(late)).toBe('IN_QUEUE')
    await new Promise((resolve) => setTimeout(resolve, 300))
    await queue.supervise()
    expect((await queue.get(late.id))?.error).toMatchObject({ status: 504, type: 'startup_timeout' })
    const work = await claim()
    expect(work.request.id).toBe(patient.id)
    await work.complete({})
  })

  it('keeps the log and the progress of a running request', async () => {
    const { id } = await queue.submit(request())
    const running = await claim()
    await running.log([line('one'), line('two')])
    await running.log([])
    await running.log([line("it's three")])
    await running.progress({ stage: 'Training', done: 3, total: 10, loss: 0.5 })
    expect((await queue.logs(id)).map(({ message }) => message)).toEqual(['one', 'two', "it's three"])
    expect(await queue.logs(id, 2)).toEqual([line("it's three")])
    expect((await queue.get(id))?.progress).toEqual({ stage: 'Training', done: 3, total: 10, loss: 0.5 })
    expect(await running.fail({ status: 422, detail: 'no pairs' })).toBe(true)
    expect(await queue.get(id)).toMatchObject({ status: 'COMPLETED', error: { status: 422, detail: 'no pairs' } })
  })

  it('ends a waiting request when it is cancelled, and tells the worker of a running one', async () => {
    const [waiting, running] = [await queue.submit(request({ priority: 'low' })), await queue.submit(request())]
    const work = await claim()
    expect(work.request.id).toBe(running.id)
    expect(await work.heartbeat()).toBe('working')
    expect([await queue.cancel(waiting.id), await queue.cancel(running.id)]).toEqual(['requested', 'requested'])
    expect([await status(waiting), await status(running)]).toEqual(['COMPLETED', 'IN_PROGRESS'])
    expect(await work.heartbeat()).toBe('cancel')
    await work.fail({ status: 499, detail: 'stopped' })
    expect(await queue.cancel(running.id)).toBe('completed')
    expect(await queue.claim('worker')).toBeUndefined()
    expect((await queue.get(waiting.id))?.error).toMatchObject({ status: 499, type: 'client_cancelled' })
  })

  it('gives a released request to the next worker, and one that was cancelled again when it is resumed', async () => {
    const submitted = await queue.submit(request())
    const first = await claim()
    await first.release()
    expect(await status(submitted)).toBe('IN_QUEUE')
    expect(await first.complete({})).toBe(false)
    const second = await claim()
    expect([second.request.id, second.attempt]).toEqual([submitted.id, 2])
    await second.fail({ status: 499, detail: 'stopped' })
    expect(await queue.resume(submitted.id)).toBe(true)
    expect(await queue.resume(submitted.id)).toBe(false)
    const third = await claim()
    expect([third.request.id, third.attempt, third.request.error]).toEqual([submitted.id, 3, undefined])
    expect(await third.complete({})).toBe(true)
    expect(await queue.resume(submitted.id)).toBe(false)
  })

  it('takes a request from a worker without heartbeats, whose writes have no effect then', async () => {
    const submitted = await queue.submit(request())
    const [lost] = [await claim()]
    await queue.supervise()
    expect(await status(submitted)).toBe('IN_PROGRESS')
    const next = await vi.waitFor(
      async () => {
        await queue.supervise()
        const taken = await queue.claim('another')
        expect(taken).toBeDefined()
        return taken as Claim
      },
      { timeout: 10_000, interval: 200 },
    )
    expect(next.request).toMatchObject({ id: submitted.id, worker: 'another', attempts: 2 })
    expect(await lost.heartbeat()).toBe('lost')
    await lost.log([line('from the dead')])
    await lost.progress({ stage: 'Training', done: 1, total: 1 })
    await lost.release()
    expect([await lost.complete({ of: 'the dead' }), await lost.fail({ status: 500, detail: 'x' })]).toEqual([
      false,
      false,
    ])
    const written = await queue.logs(submitted.id)
    expect(written.map(({ message }) => message)).toEqual([expect.stringContaining('The worker stopped')])
    expect((await queue.get(submitted.id))?.progress).toBeUndefined()
    expect(await next.complete({ of: 'the living' })).toBe(true)
    expect((await queue.get(submitted.id))?.output).toEqual({ of: 'the living' })
  })

  it('leaves a request to a worker that sends heartbeats, for longer than a lease', async () => {
    await queue.submit(request())
    const work = await claim()
    for (let beat = 0; beat < 8; beat++) {
      await new Promise((resolve) => setTimeout(resolve, 400))
      await queue.supervise()
      expect(await work.heartbeat()).toBe('working')
    }
    expect(await queue.claim('another')).toBeUndefined()
    await work.complete({})
  })

  it('ends a cancelled request whose worker died, and gives up one that killed many workers', async () => {
    const database = await openCopy()
    const [cancelled, deadly] = [await queue.submit(request()), await queue.submit(request())]
    await claim()
    await claim()
    await queue.cancel(cancelled.id)
    await database.query(`update ltx_a2a.requests set losses = 24 where id = $1`, [deadly.id])
    await vi.waitFor(
      async () => {
        await queue.supervise()
        expect(await queue.claim('another')).toBeUndefined()
        expect([await status(cancelled), await status(deadly)]).toEqual(['COMPLETED', 'COMPLETED'])
      },
      { timeout: 10_000, interval: 200 },
    )
    expect((await queue.get(cancelled.id))?.error?.type).toBe('client_cancelled')
    expect((await queue.get(deadly.id))?.error?.detail).toBe('25 workers died with this request')
  })

  it('finds requests whose job pg-boss has lost, and removes old ones that are completed', async () => {
    const database = await openCopy()
    const submitted = await queue.submit(request())
    await database.query('delete from ltx_a2a_pgboss.job where true')
    expect(await queue.claim('worker')).toBeUndefined()
    await queue.supervise()
    const work = await claim()
    expect(work.request.id).toBe(submitted.id)
    await work.log([line('one')])
    expect(await queue.removeCompleted(new Date(0))).toEqual([])
    const ids = (await queue.list({ limit: 100 })).map(({ id }) => id).filter((id) => id !== submitted.id)
    expect((await queue.removeCompleted(new Date(Date.now() + 60_000))).sort()).toEqual(ids.sort())
    expect(await queue.counts()).toEqual({ waiting: 0, running: 1, succeeded: 0, failed: 0, cancelled: 0 })
    await work.complete({})
    expect(await queue.counts()).toEqual({ waiting: 0, running: 0, succeeded: 1, failed: 0, cancelled: 0 })
    await queue.cancel((await queue.submit(request())).id)
    expect(await queue.counts()).toEqual({ waiting: 0, running: 0, succeeded: 1, failed: 0, cancelled: 1 })
  })

  it('calls the webhook of a completed request, and again until it was called with success', async () => {
    const webhook = 'https://example.org/done'
    const [called] = [await queue.submit(request({ webhook }))]
    expect(await queue.dueWebhook()).toBeUndefined()
    await (await claim()).complete({})
    const first = await queue.dueWebhook()
    expect(first).toMatchObject({ attempts: 0, request: { id: called.id, webhook, status: 'COMPLETED' } })
    expect(await queue.dueWebhook()).toBeUndefined()
    await first?.called(new Date(Date.now() - 1000))
    const second = await queue.dueWebhook()
    expect(second?.attempts).toBe(1)
    await first?.called(undefined) // too late
    await second?.called(new Date(Date.now() - 1000))
    await (await queue.dueWebhook())?.called(undefined)
    expect(await queue.dueWebhook()).toBeUndefined()
    const [cancelled] = [await queue.submit(request({ webhook }))]
    await queue.cancel(cancelled.id)
    const last = await queue.dueWebhook()
    expect(last?.request).toMatchObject({ id: cancelled.id, error: { type: 'client_cancelled' } })
    await last?.called(undefined)
  })

  it('counts the seconds that workers had a request, without pauses', async () => {
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
    const [long] = [await queue.submit(request())]
    const first = await claim()
    await pause(300)
    expect(await queue.activity()).toMatchObject({ longestWaitSeconds: 0, busyWorkers: 1 })
    await first.release()
    await pause(2000)
    const waiting = await queue.activity()
    expect(waiting.longestWaitSeconds).toBeGreaterThan(2)
    expect(waiting.workedSeconds).toBeGreaterThan(0.25)
    expect(waiting.busyWorkers).toBe(0)
    const second = await claim()
    await pause(300)
    await second.fail({ status: 500, detail: 'no' })
    await pause(2000)
    await queue.resume(long.id)
    await (await claim()).complete({})
    const { startedAt, completedAt, workedSeconds = 0 } = (await queue.get(long.id)) ?? {}
    const all = ((completedAt?.getTime() ?? 0) - (startedAt?.getTime() ?? 0)) / 1000
    expect(workedSeconds).toBeGreaterThanOrEqual(0.6)
    expect(all - workedSeconds).toBeGreaterThanOrEqual(4)
    expect((await queue.logs(long.id)).map(({ message }) => message)).toEqual(['Resumed'])
  })

  it('counts a worker that died up to its last heartbeat', async () => {
    const [lost] = [await queue.submit(request())]
    expect(await (await claim()).heartbeat()).toBe('working')
    await vi.waitFor(
      async () => {
        await queue.supervise()
        expect(await status(lost)).toBe('IN_QUEUE')
      },
      { timeout: 20_000, interval: 200 },
    )
    await (await claim()).complete({})
    expect((await queue.get(lost.id))?.workedSeconds).toBeLessThan(leaseSeconds)
    expect((await queue.logs(lost.id)).map(({ message }) => message)).toEqual([
      expect.stringContaining('The worker stopped without a word'),
    ])
  })

  it('removes completed requests only', async () => {
    const [removed] = [await queue.submit(request())]
    expect(await queue.remove(removed.id)).toBe('running')
    await (await claim()).complete({})
    expect(await queue.remove(removed.id)).toBe('removed')
    expect(await queue.get(removed.id)).toBeUndefined()
    for (const id of [removed.id, 'x']) expect(await queue.remove(id)).toBe('unknown')
  })

  it('updates a database of the first version, with the seconds that it knew', async () => {
    const [old] = [await queue.submit(request())]
    await (await claim()).complete({})
    const database = await openCopy()
    await database.query(
      `alter table ltx_a2a.requests drop column worked_seconds, drop column counted_at;
       update ltx_a2a.requests set completed_at = started_at + interval '90 seconds' where id = '${old.id}';
       drop table ltx_a2a.identity;
       update ltx_a2a.version set applied = 1`,
    )
    await queue.close()
    queue = await open()
    expect(await queue.get(old.id)).toMatchObject({ status: 'COMPLETED', workedSeconds: 90 })
  })

  it('knows whether a file is named by a request', async () => {
    await queue.submit(
      request({ parameters: { validation: [{ reference_audio_url: 'server-file:uploads/7/a.wav' }] } }),
    )
    expect(await queue.isMentioned('server-file:uploads/7/')).toBe(true)
    expect(await queue.isMentioned('server-file:uploads/8/')).toBe(false)
    await (await claim()).complete({})
  })

  it('is there after a restart, which need not wait for the leases of a process that is gone', async () => {
    const submitted = await queue.submit(request())
    await queue.close()
    queue = await open()
    expect(await queue.get(submitted.id)).toEqual(submitted)
    const before = await claim()
    expect(before.request.id).toBe(submitted.id)
    await queue.close()
    queue = await open()
    await queue.supervise()
    expect(await queue.claim('worker')).toBeUndefined()
    await queue.close()
    queue = await openQueue(await openDatabase(server.location), { leaseSeconds: 3600, isOnly: true })
    await queue.supervise()
    expect((await claim()).request.id).toBe(submitted.id)
  })

  /** The database of the queue: the same connection where there can be only one. */
  let copy: Database | undefined
  async function openCopy(): Promise<Database> {
    if (engine === 'server') {
      copy ??= await openDatabase(server.location)
      return copy
    }
    await queue.close()
    const database = await openDatabase(server.location)
    queue = await openQueue(database, { leaseSeconds, onError: (error) => errors.push(error) })
    return database
  }
}

it('a folder that has lost its database is refused, not filled with a new one', async () => {
  const damaged = join(folder, 'damaged')
  mkdirSync(damaged)
  writeFileSync(join(damaged, 'pg_hba.conf'), '')
  await expect(openDatabase(damaged)).rejects.toThrow('damaged holds files, but no database that can be opened')
  await expect(openDatabase(join(damaged, 'pg_hba.conf'))).rejects.toThrow('pg_hba.conf is a file')
})

it('a database that cannot be reached is refused, without its password', async () => {
  await expect(openDatabase('postgres://me:secret@127.0.0.1:9/queue')).rejects.toThrow(
    /^the database postgres:\/\/me:\*\*\*@127\.0\.0\.1:9\/queue cannot be used: /,
  )
})
