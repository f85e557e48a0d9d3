/** A queue in memory: what a worker sees of a queue, and a record of what it has written. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Claim, Queue } from '../../src/queue/queue.ts'
import type { LogLine, QueuedRequest, RequestProgress } from '../../src/queue/request.ts'

export type FakeRequest = QueuedRequest & {
  logs: LogLine[]
  steps: RequestProgress[]
  isLost: boolean
  releases: number
}

export type FakeQueue = Pick<Queue, 'claim'> & {
  add(request: Partial<QueuedRequest> & Pick<QueuedRequest, 'parameters'>): FakeRequest
  /** Makes every call fail, as while the database restarts. */
  isDown: boolean
}

export function createFakeQueue(): FakeQueue {
  const requests: FakeRequest[] = []
  const queue: FakeQueue = {
    isDown: false,
    add: (given) => {
      const request: FakeRequest = {
        ...{ id: randomUUID(), kind: 'train', endpoint: 'fal-ai/ltx23-trainer-v2/a2a', input: {}, priority: 'normal' },
        ...{ status: 'IN_QUEUE', submittedAt: new Date(), cancelRequested: false, attempts: 0, workedSeconds: 0 },
        ...{ logs: [], steps: [], isLost: false, releases: 0 },
        ...given,
      }
      requests.push(request)
      return request
    },
    claim: async (worker) => {
      up()
      const request = requests.find(({ status }) => status === 'IN_QUEUE')
      if (!request) return undefined
      Object.assign(request, { status: 'IN_PROGRESS', worker, startedAt: request.startedAt ?? new Date() })
      request.attempts++
      return claimOf(request)
    },
  }
  const up = () => {
    if (queue.isDown) throw new Error('the database is restarting')
  }
  const claimOf = (request: FakeRequest): Claim => {
    const attempt = request.attempts
    const isOurs = () => {
      up()
      return !request.isLost && request.attempts === attempt && request.status === 'IN_PROGRESS'
    }
    const end = async (result: Partial<QueuedRequest>) => {
      if (!isOurs()) return false
      Object.assign(request, { status: 'COMPLETED', completedAt: new Date() }, result)
      return true
    }
    return {
      request: { ...request },
      attempt,
      heartbeat: async () => (!isOurs() ? 'lost' : request.cancelRequested ? 'cancel' : 'working'),
      log: async (lines) => void (isOurs() && request.logs.push(...lines)),
      progress: async (progress) => void (isOurs() && request.steps.push(progress)),
      complete: (output) => end({ output }),
      fail: (error) => end({ error }),
      release: async () => {
        if (!isOurs()) return
        request.releases++
        request.status = 'IN_QUEUE'
      },
    }
  }
  return queue
}

export const textOf = ({ logs }: FakeRequest) => logs.map(({ message }) => message).join('\n')

/** Waits until something is so. Tests end by their own time limit where it never is. */
export async function until(isSo: () => boolean) {
  while (!isSo()) await sleep(20)
}
