/** A queue in memory, with a worker that the test plays. */
import { randomUUID } from 'node:crypto'
import type { Queue } from '../../src/queue/queue.ts'
import type { LogLine, QueuedRequest, RequestError } from '../../src/queue/request.ts'

export type FakeQueue = Queue & {
  requests: Map<string, QueuedRequest>
  start(id: string): void
  log(id: string, ...messages: string[]): void
  finish(id: string, result: { output: Record<string, unknown> } | { error: RequestError }): void
  /** Makes every call fail, as without a database. */
  break(): void
}

export function createFakeQueue(): FakeQueue {
  const requests = new Map<string, QueuedRequest>()
  const lines = new Map<string, LogLine[]>()
  let isBroken = false
  const all = () => {
    if (isBroken) throw new Error('the database is secret.example and does not answer')
    return [...requests.values()]
  }
  const change = (id: string, changes: Partial<QueuedRequest>) => {
    const request = requests.get(id)
    if (!request) throw new Error(`there is no request ${id}`)
    requests.set(id, { ...request, ...changes })
  }
  const unused = () => Promise.reject(new Error('the server does not call this'))
  return {
    requests,
    submit: async (request) => {
      all()
      const id = randomUUID()
      const queued: QueuedRequest = {
        ...request,
        id,
        status: 'IN_QUEUE',
        submittedAt: new Date(),
        cancelRequested: false,
        attempts: 0,
        workedSeconds: 0,
      }
      requests.set(id, queued)
      return queued
    },
    get: async (id) => all().find((request) => request.id === id),
    list: async ({ limit }) => all().reverse().slice(0, limit),
    position: async (id) =>
      Math.max(
        0,
        all()
          .filter(({ status }) => status === 'IN_QUEUE')
          .findIndex((one) => one.id === id),
      ),
    logs: async (id, from = 0) => (lines.get(id) ?? []).slice(from),
    cancel: async (id) => {
      const request = all().find((one) => one.id === id)
      if (!request) return 'unknown'
      if (request.status === 'COMPLETED') return 'completed'
      change(id, { cancelRequested: true })
      if (request.status === 'IN_QUEUE') change(id, { status: 'COMPLETED', error: cancelled })
      return 'requested'
    },
    activity: async () => ({ longestWaitSeconds: 12.5, busyWorkers: 2, workedSeconds: 90 }),
    counts: async () => {
      const count = (test: (request: QueuedRequest) => boolean) => all().filter(test).length
      return {
        waiting: count(({ status }) => status === 'IN_QUEUE'),
        running: count(({ status }) => status === 'IN_PROGRESS'),
        succeeded: count(({ output }) => output !== undefined),
        failed: count(({ error }) => error !== undefined && error.status !== 499),
        cancelled: count(({ error }) => error?.status === 499),
      }
    },
    resume: unused,
    claim: unused,
    supervise: unused,
    removeCompleted: unused,
    remove: async (id) => {
      const request = all().find((one) => one.id === id)
      if (request?.status !== 'COMPLETED') return request ? 'running' : 'unknown'
      requests.delete(id)
      return 'removed'
    },
    isMentioned: async (text) => all().some(({ parameters }) => JSON.stringify(parameters).includes(text)),
    dueWebhook: unused,
    close: async () => undefined,
    start: (id) => change(id, { status: 'IN_PROGRESS', startedAt: new Date() }),
    log: (id, ...messages) => {
      const line = (message: string): LogLine => ({
        message,
        level: 'INFO',
        source: 'USER',
        timestamp: new Date().toISOString(),
      })
      lines.set(id, [...(lines.get(id) ?? []), ...messages.map(line)])
    },
    finish: (id, result) => change(id, { status: 'COMPLETED', completedAt: new Date(), ...result }),
    break: () => {
      isBroken = true
    },
  }
}

const cancelled: RequestError = { status: 499, detail: 'The request was cancelled', type: 'request_cancelled' }
