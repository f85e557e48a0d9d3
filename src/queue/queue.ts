/**
 * The queue of requests, on PostgreSQL: one code path whether it is embedded or a server. pg-boss decides who gets what next. Its jobs only name requests;
 * what is known about them is in a table of our own. A job of pg-boss expires some seconds after it was taken, and is given to another worker then: a
 * heartbeat is an update of the time when it was taken.
 */
import { randomUUID } from 'node:crypto'
import PgBoss from 'pg-boss'
import type { Database, RunQuery } from './database.ts'
import {
  cancelledError,
  type LogLine,
  type NewRequest,
  type QueuedRequest,
  type RequestError,
  type RequestProgress,
  startTimeoutError,
} from './request.ts'
import { bossSchema, migrate, schema } from './schema.ts'

export type Queue = {
  submit(request: NewRequest): Promise<QueuedRequest>
  get(id: string): Promise<QueuedRequest | undefined>
  /** The newest first. @param before only requests that were submitted before this one. */
  list(options: { limit: number; before?: string | undefined }): Promise<QueuedRequest[]>
  /** How many requests are before it; 0 for the next one, and for those that are not waiting. */
  position(id: string): Promise<number>
  /** The log so far. @param from leaves out as many lines. */
  logs(id: string, from?: number): Promise<LogLine[]>
  /** Ends a waiting request at once. A running one is stopped by its worker. */
  cancel(id: string): Promise<'requested' | 'completed' | 'unknown'>
  /** Puts a request that was cancelled or failed back: its run goes on. @returns whether it could be. */
  resume(id: string): Promise<boolean>
  /** The next request for a worker, which must extend its lease. Undefined where none is waiting. */
  claim(worker: string): Promise<Claim | undefined>
  /** Returns requests of workers that died to the queue, and ends those that did not start in time. Called every few seconds, by one or more processes. @returns their ids. */
  supervise(): Promise<{ lost: string[]; late: string[] }>
  /** Removes completed requests, with their logs. @returns their ids. */
  removeCompleted(before: Date): Promise<string[]>
  /** Removes a completed request, with its log. */
  remove(id: string): Promise<'removed' | 'running' | 'unknown'>
  /** Whether the parameters of a request contain the text. */
  isMentioned(text: string): Promise<boolean>
  /** A completed request whose webhook is to be called now, by the caller: within a minute, no other gets it. */
  dueWebhook(): Promise<DueWebhook | undefined>
  counts(): Promise<{ waiting: number; running: number; succeeded: number; failed: number; cancelled: number }>
  activity(): Promise<Activity>
  close(): Promise<void>
}

/** How long requests wait, and what workers do. */
export type Activity = {
  /** Of the waiting requests, the time since the oldest was submitted; 0 where none waits. */
  longestWaitSeconds: number
  /** How many workers have a request now. */
  busyWorkers: number
  /** What workers have spent on the requests that the queue holds. */
  workedSeconds: number
}

export type DueWebhook = {
  request: QueuedRequest
  /** How often it was called without success. */
  attempts: number
  /** @param next when it is called again; undefined where it was called with success, or is given up. */
  called(next: Date | undefined): Promise<void>
}

/** A request that a worker has taken. Nothing that is written through a claim that was lost has an effect. */
export type Claim = {
  request: QueuedRequest
  /** 1 for the first worker that has it. */
  attempt: number
  /** Extends the lease. `lost`: another worker has the request, or it is completed; this one must stop at once and write nothing. */
  heartbeat(): Promise<'working' | 'cancel' | 'lost'>
  log(lines: readonly LogLine[]): Promise<void>
  progress(progress: RequestProgress): Promise<void>
  /** @returns false where the claim was lost. */
  complete(output: Readonly<Record<string, unknown>>): Promise<boolean>
  fail(error: RequestError): Promise<boolean>
  /** Puts the request back, for another worker or this one after a restart. */
  release(): Promise<void>
}

/** Seconds after the last heartbeat until a request is given to another worker. */
export const leaseSeconds = 30

/** How often `supervise` is called, in milliseconds. */
export const superviseEvery = 5000

/** How many workers may die with a request until it is given up: it is probably what kills them. */
const mostLosses = 25

/** The one queue of pg-boss. */
const queueName = 'requests'

/** pg-boss removes what has waited longer. */
const longestWaitDays = 3650

type QueueOptions = {
  /** Gets what fails in the background. */
  onError?: (error: Error) => void
  leaseSeconds?: number
  /** No other process has the database: whoever had requests before is gone, and they are waiting again. */
  isOnly?: boolean
}

/** Creates the tables where there are none. The database is closed with the queue. */
export async function openQueue(database: Database, options: QueueOptions = {}): Promise<Queue> {
  const { onError = () => {}, leaseSeconds: lease = leaseSeconds, isOnly = false } = options
  await migrate(database)
  const db = bossConnection(database.query)
  const boss = new PgBoss({ db, schema: bossSchema, schedule: false, retentionDays: longestWaitDays })
  boss.on('error', onError)
  await boss.start()
  const forever = 1_000_000 // pg-boss also counts a graceful shutdown as a retry
  const policy = { policy: 'standard', retryLimit: forever, retryDelay: 0, expireInSeconds: lease } as const
  await boss.createQueue(queueName, { name: queueName, ...policy })

  const { query, transaction } = database
  if (isOnly)
    await query(`update ${bossSchema}.job set started_on = 'epoch' where name = '${queueName}' and state = 'active'`)

  /** @returns the id of the job. */
  async function send(query: RunQuery, request: string, priority: string): Promise<string> {
    const job = await boss.send(
      queueName,
      { request },
      { priority: priority === 'low' ? 0 : 1, db: bossConnection(query) },
    )
    if (job === null) throw new Error('pg-boss did not take a job')
    return job
  }

  async function find(id: string): Promise<QueuedRequest | undefined> {
    if (!isUuid(id)) return undefined
    const [row] = await query<Row>(`select * from ${schema}.requests where id = $1`, [id])
    return row && requestOf(row)
  }

  /** Marks a request as completed, if the condition holds. */
  const finish = (query: RunQuery, id: string, error: RequestError, condition: string, values: unknown[] = []) =>
    query<Row>(`update ${schema}.requests set ${completed}, error = $2 where id = $1 and ${condition} returning *`, [
      id,
      JSON.stringify(error),
      ...values,
    ])

  /** Gives a job to a worker, unless its request needs none any more. */
  async function take(job: string, id: string, worker: string): Promise<Claim | undefined> {
    const token = randomUUID()
    const [row] = await query<Row & { is_lost: boolean }>(
      `update ${schema}.requests
       set status = 'IN_PROGRESS', started_at = coalesce(started_at, now()), counted_at = now(), worker = $3, claim = $4,
         attempts = attempts + 1, losses = losses + (status = 'IN_PROGRESS')::integer
       where id = $1 and job = $2 and status <> 'COMPLETED' and not cancel_requested and losses < ${mostLosses}
       returning *, (select status = 'IN_PROGRESS' from ${schema}.requests before where before.id = $1) as is_lost`,
      [id, job, worker, token],
    )
    if (row) {
      if (row.is_lost) await note(query, id, lostWorker)
      return claimOf(row, token)
    }
    const unfinished = `job = $3 and status <> 'COMPLETED'`
    const [cancelled] = await finish(query, id, cancelledError, `${unfinished} and cancel_requested`, [job])
    if (!cancelled) await finish(query, id, givenUp, unfinished, [job])
    await boss.complete(queueName, job)
    return undefined
  }

  function claimOf(row: Row, token: string): Claim {
    const { id, job } = row
    const isOurs = `id = $1 and claim = $2 and status = 'IN_PROGRESS'`
    const end = (change: string, values: readonly unknown[]) =>
      transaction(async (query) => {
        const done = await query(
          `update ${schema}.requests set ${completed}, ${worked}, ${change} where ${isOurs} returning id`,
          [id, token, ...values],
        )
        if (done.length > 0) await boss.complete(queueName, job, {}, { db: bossConnection(query) })
        return done.length > 0
      })
    return {
      request: requestOf(row),
      attempt: row.attempts,
      heartbeat: async () => {
        const [ours] = await query<{ cancel_requested: boolean }>(
          `with extended as (
             update ${bossSchema}.job set started_on = now() where name = $3 and id = $4 and state = 'active' returning id
           )
           update ${schema}.requests set ${worked} where ${isOurs} and exists (select from extended) returning cancel_requested`,
          [id, token, queueName, job],
        )
        return ours ? (ours.cancel_requested ? 'cancel' : 'working') : 'lost'
      },
      log: async (lines) => {
        if (lines.length === 0) return
        await query(
          `insert into ${schema}.logs (request, line) select r.id, l.value
           from ${schema}.requests r, json_array_elements($3::json) with ordinality l where ${isOurs} order by l.ordinality`,
          [id, token, JSON.stringify(lines)],
        )
      },
      progress: async (progress) => {
        await query(`update ${schema}.requests set progress = $3 where ${isOurs}`, [
          id,
          token,
          JSON.stringify(progress),
        ])
      },
      complete: (output) => end('output = $3, error = null', [JSON.stringify(output)]),
      fail: (error) => end('error = $3', [JSON.stringify(error)]),
      release: () =>
        transaction(async (query) => {
          const released = await query(
            `update ${schema}.requests set status = 'IN_QUEUE', claim = null, ${worked} where ${isOurs} returning id`,
            [id, token],
          )
          if (released.length > 0) await boss.fail(queueName, job, {}, { db: bossConnection(query) })
        }),
    }
  }

  return {
    submit: async (request) => {
      const id = randomUUID()
      const { kind, endpoint, input, parameters, priority, startTimeout, timeLimit, webhook } = request
      const [row] = await transaction(async (query) =>
        query<Row>(
          `insert into ${schema}.requests (id, kind, endpoint, input, parameters, priority, start_timeout, time_limit, webhook, job)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning *`,
          [
            ...[id, kind, endpoint, JSON.stringify(input), JSON.stringify(parameters), priority],
            ...[startTimeout ?? null, timeLimit ?? null, webhook ?? null, await send(query, id, priority)],
          ],
        ),
      )
      return requestOf(row as Row)
    },
    get: find,
    list: async ({ limit, before }) => {
      const older = `number < (select number from ${schema}.requests where id = $2)`
      const rows = await query<Row>(
        `select * from ${schema}.requests ${before === undefined ? '' : `where ${older}`} order by number desc limit $1`,
        before === undefined ? [limit] : [limit, before],
      )
      return rows.map(requestOf)
    },
    position: async (id) => {
      const [{ count } = { count: 0 }] = await query<{ count: number }>(
        `select count(*)::integer as count from ${schema}.requests r, ${schema}.requests own
         where own.id = $1 and own.status = 'IN_QUEUE' and r.status = 'IN_QUEUE'
           and (r.priority, -r.number) > (own.priority, -own.number)`, // normal > low
        [id],
      )
      return count
    },
    logs: async (id, from = 0) => {
      const rows = await query<{ line: LogLine }>(
        `select line from ${schema}.logs where request = $1 order by number offset $2`,
        [id, from],
      )
      return rows.map(({ line }) => line)
    },
    cancel: async (id) => {
      const request = await find(id)
      if (!request) return 'unknown'
      return transaction(async (query) => {
        const [row] = await query<Row>(
          `update ${schema}.requests set cancel_requested = true where id = $1 and status <> 'COMPLETED' returning *`,
          [id],
        )
        if (!row) return 'completed'
        const ended = await finish(query, id, cancelledError, `status = 'IN_QUEUE'`)
        if (ended.length > 0) await boss.cancel(queueName, row.job, { db: bossConnection(query) })
        return 'requested'
      })
    },
    resume: async (id) =>
      transaction(async (query) => {
        const [row] = await query<Row>(
          `select * from ${schema}.requests where id = $1 and status = 'COMPLETED' and error is not null for update`,
          [id],
        )
        if (!row) return false
        await query(
          `update ${schema}.requests set status = 'IN_QUEUE', completed_at = null, error = null, cancel_requested = false,
             losses = 0, webhook_due = null, webhook_attempts = 0, job = $2 where id = $1`,
          [id, await send(query, id, row.priority)],
        )
        await note(query, id, 'Resumed')
        return true
      }),
    claim: async (worker) => {
      for (;;) {
        const [job] = await boss.fetch<{ request: string }>(queueName)
        if (!job) return undefined
        const claim = await take(job.id, job.data.request, worker)
        if (claim) return claim
      }
    },
    supervise: async () => {
      await boss.expire()
      // pg-boss has given up their workers
      const lost = await query<{ id: string }>(
        `update ${schema}.requests r set status = 'IN_QUEUE', claim = null, losses = losses + 1
         where status = 'IN_PROGRESS' and not exists (
           select from ${bossSchema}.job j where j.name = $1 and j.id = r.job and j.state = 'active'
         ) returning id`,
        [queueName],
      )
      for (const { id } of lost) await note(query, id, lostWorker)
      const late = await query<Row>(
        `select * from ${schema}.requests
         where status = 'IN_QUEUE' and started_at is null and submitted_at + least(start_timeout, 1e9) * interval '1 second' < now()`,
      )
      const failed: string[] = []
      for (const { id, job } of late)
        await transaction(async (query) => {
          const ended = await finish(query, id, startTimeoutError, `status = 'IN_QUEUE' and started_at is null`)
          if (ended.length === 0) return
          await boss.cancel(queueName, job, { db: bossConnection(query) })
          failed.push(id)
        })
      // a job of pg-boss can be lost, for example where its tables were restored from an older backup
      const orphans = await query<Row>(
        `select * from ${schema}.requests r where status = 'IN_QUEUE' and not exists (
           select from ${bossSchema}.job j where j.name = $1 and j.id = r.job and j.state in ('created', 'retry', 'active')
         )`,
        [queueName],
      )
      for (const { id, priority, job } of orphans)
        await transaction(async (query) =>
          query(`update ${schema}.requests set job = $3 where id = $1 and job = $2`, [
            ...[id, job],
            await send(query, id, priority),
          ]),
        )
      return { lost: lost.map(({ id }) => id), late: failed }
    },
    removeCompleted: async (before) => {
      const removed = await query<{ id: string }>(
        `delete from ${schema}.requests where status = 'COMPLETED' and completed_at < $1 returning id`,
        [before],
      )
      return removed.map(({ id }) => id)
    },
    remove: async (id) => {
      if (!(await find(id))) return 'unknown'
      const removed = await query(
        `delete from ${schema}.requests where id = $1 and status = 'COMPLETED' returning id`,
        [id],
      )
      return removed.length > 0 ? 'removed' : 'running'
    },
    isMentioned: async (text) => {
      const found = await query(`select from ${schema}.requests where strpos(parameters::text, $1) > 0 limit 1`, [text])
      return found.length > 0
    },
    dueWebhook: async () => {
      const [row] = await query<Row>(
        `update ${schema}.requests set webhook_due = now() + interval '1 minute', webhook_attempts = webhook_attempts + 1
         where id = (
           select id from ${schema}.requests where webhook_due <= now() order by webhook_due limit 1 for update skip locked
         ) returning *`,
      )
      if (!row) return undefined
      const attempt = row.webhook_attempts
      return {
        request: requestOf(row),
        attempts: attempt - 1,
        called: async (next) => {
          await query(`update ${schema}.requests set webhook_due = $3 where id = $1 and webhook_attempts = $2`, [
            ...[row.id, attempt, next ?? null],
          ])
        },
      }
    },
    counts: async () => {
      const [counts] = await query<{
        waiting: number
        running: number
        succeeded: number
        failed: number
        cancelled: number
      }>(
        `select (count(*) filter (where status = 'IN_QUEUE'))::integer as waiting,
           (count(*) filter (where status = 'IN_PROGRESS'))::integer as running,
           (count(*) filter (where status = 'COMPLETED' and error is null))::integer as succeeded,
           (count(*) filter (where status = 'COMPLETED' and error is not null and error->>'status' <> '499'))::integer as failed,
           (count(*) filter (where status = 'COMPLETED' and error->>'status' = '499'))::integer as cancelled
         from ${schema}.requests`,
      )
      return counts as NonNullable<typeof counts>
    },
    activity: async () => {
      const [activity] = await query<Activity>(
        `select coalesce(max(extract(epoch from now() - submitted_at)) filter (where status = 'IN_QUEUE'), 0)::double precision
             as "longestWaitSeconds",
           (count(distinct worker) filter (where status = 'IN_PROGRESS'))::integer as "busyWorkers",
           coalesce(sum(worked_seconds), 0)::double precision as "workedSeconds"
         from ${schema}.requests`,
      )
      return activity as NonNullable<typeof activity>
    },
    close: async () => {
      await boss.stop({ graceful: false })
      await database.close()
    },
  }
}

/** What changes when a request is completed. */
const completed = `status = 'COMPLETED', completed_at = now(), claim = null,
  webhook_due = case when webhook is not null then now() end`

/** Counts the time since a worker took a request, or last said that it has it. */
const worked = `worked_seconds = worked_seconds + extract(epoch from now() - counted_at), counted_at = now()`

const lostWorker = 'The worker stopped without a word: the request goes on with the next one'

/** Adds a line to the log, whoever has the request. */
async function note(query: RunQuery, id: string, message: string) {
  const line: LogLine = { message, level: 'INFO', source: 'USER', timestamp: new Date().toISOString() }
  await query(`insert into ${schema}.logs (request, line) values ($1, $2)`, [id, JSON.stringify(line)])
}

/** A row of the table of requests. */
type Row = {
  id: string
  kind: NewRequest['kind']
  endpoint: string
  input: NewRequest['input']
  parameters: NewRequest['parameters']
  priority: NewRequest['priority']
  start_timeout: number | null
  time_limit: number | null
  webhook: string | null
  status: QueuedRequest['status']
  submitted_at: Date
  started_at: Date | null
  completed_at: Date | null
  cancel_requested: boolean
  worker: string | null
  attempts: number
  losses: number
  worked_seconds: number
  job: string
  progress: RequestProgress | null
  output: QueuedRequest['output'] | null
  error: RequestError | null
  webhook_attempts: number
}

const requestOf = (row: Row): QueuedRequest => ({
  id: row.id,
  kind: row.kind,
  endpoint: row.endpoint,
  input: row.input,
  parameters: row.parameters,
  priority: row.priority,
  startTimeout: row.start_timeout ?? undefined,
  timeLimit: row.time_limit ?? undefined,
  webhook: row.webhook ?? undefined,
  status: row.status,
  submittedAt: row.submitted_at,
  startedAt: row.started_at ?? undefined,
  completedAt: row.completed_at ?? undefined,
  cancelRequested: row.cancel_requested,
  worker: row.worker ?? undefined,
  attempts: row.attempts,
  workedSeconds: row.worked_seconds,
  progress: row.progress ?? undefined,
  output: row.output ?? undefined,
  error: row.error ?? undefined,
})

const givenUp: RequestError = {
  status: 500,
  detail: `${mostLosses} workers died with this request`,
  type: 'internal_error',
}

/** What pg-boss needs of a connection. Its types also allow this as the third argument of complete and fail, where it would be taken for data. */
const bossConnection = (query: RunQuery): PgBoss.Db => ({
  executeSql: async (text, values) => ({ rows: await query(text, values) }),
})

const isUuid = (text: string) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text)
