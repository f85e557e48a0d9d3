/** A queue in memory, with the methods that the pages use. */
import { randomUUID } from 'node:crypto'
import type { Queue } from '../../../src/queue/queue.ts'
import { cancelledError, type LogLine, type NewRequest, type QueuedRequest } from '../../../src/queue/request.ts'

type UsedMethods = 'submit' | 'get' | 'list' | 'position' | 'logs' | 'cancel' | 'resume' | 'remove' | 'isMentioned'

export type FakeQueue = Queue & {
  requests: QueuedRequest[]
  lines: Map<string, LogLine[]>
  add(change: Partial<QueuedRequest>): QueuedRequest
}

export function fakeQueue(): FakeQueue {
  const requests: QueuedRequest[] = []
  const lines = new Map<string, LogLine[]>()
  const find = (id: string) => requests.find((request) => request.id === id)
  const add = (change: Partial<QueuedRequest>) => {
    const request: QueuedRequest = {
      ...{ id: randomUUID(), kind: 'train', endpoint: 'fal-ai/ltx23-trainer-v2/a2a', input: {}, parameters: {} },
      ...{ priority: 'normal', status: 'IN_QUEUE', submittedAt: new Date('2026-05-01T10:00:00Z') },
      ...{ cancelRequested: false, attempts: 0, workedSeconds: 0 },
      ...change,
    }
    requests.unshift(request)
    return request
  }
  const queue: Pick<Queue, UsedMethods> = {
    submit: async (request: NewRequest) => add(request),
    get: async (id) => find(id),
    list: async ({ limit, before }) => {
      const from = before === undefined ? 0 : requests.findIndex(({ id }) => id === before) + 1
      return requests.slice(from, from + limit)
    },
    position: async () => 2,
    logs: async (id, from = 0) => (lines.get(id) ?? []).slice(from),
    cancel: async (id) => {
      const request = find(id)
      if (request?.status === 'IN_QUEUE') Object.assign(request, { status: 'COMPLETED', error: cancelledError })
      else Object.assign(request ?? {}, { cancelRequested: true })
      return 'requested'
    },
    resume: async (id) => {
      Object.assign(find(id) ?? {}, { status: 'IN_QUEUE', error: undefined, cancelRequested: false })
      return true
    },
    remove: async (id) => {
      const request = find(id)
      if (request?.status !== 'COMPLETED') return request ? 'running' : 'unknown'
      requests.splice(requests.indexOf(request), 1)
      return 'removed'
    },
    isMentioned: async (text) => requests.some(({ parameters }) => JSON.stringify(parameters).includes(text)),
  }
  return { ...(queue as Queue), requests, lines, add }
}

export const line = (message: string, level: LogLine['level'] = 'INFO'): LogLine => ({
  ...{ message, level, source: 'USER' },
  timestamp: '2026-05-01T10:00:05.000Z',
})
