/** Reads of requests that clients share: many that ask for the status of the same request cost the database one read. */
import type { Queue } from '../queue/queue.ts'
import type { LogLine, QueuedRequest } from '../queue/request.ts'

export type ReadRequest = {
  request: QueuedRequest
  /** 0 where it is not waiting. */
  position: number
  /** Null where none were asked for. */
  logs: readonly LogLine[] | null
}

export type RequestReader = {
  /** @returns what the database had at most `sharedMilliseconds` before the call, and what was changed through `queue` before it; undefined for an unknown id. */
  read(id: string, withLogs: boolean): Promise<ReadRequest | undefined>
  /** The queue, whose changes are visible to all later reads at once. */
  queue: Queue
}

/** Clients poll every 500 ms. */
export const sharedMilliseconds = 100

/** @param now in milliseconds. */
export function createRequestReader(queue: Queue, now: () => number = () => performance.now()): RequestReader {
  /** One for each request, so that nobody is shown an earlier status after a later one. One with logs also serves those who want none. */
  const reads = new Map<string, { startedAt: number; withLogs: boolean; result: Promise<ReadRequest | undefined> }>()

  const readNow = async (id: string, withLogs: boolean): Promise<ReadRequest | undefined> => {
    const request = await queue.get(id)
    if (!request) return undefined
    const position = request.status === 'IN_QUEUE' ? await queue.position(id) : 0
    return { request, position, logs: withLogs ? await queue.logs(id) : null }
  }

  /** A read that began before the change may have what was there before it, so it is shared no more: also where the change failed. */
  const changing =
    <Arguments extends unknown[], Result>(change: (...values: Arguments) => Promise<Result>) =>
    (...values: Arguments): Promise<Result> =>
      change(...values).finally(() => reads.clear())

  return {
    read: (id, withLogs) => {
      const shared = reads.get(id)
      if (shared && now() - shared.startedAt < sharedMilliseconds && (shared.withLogs || !withLogs))
        return answerOf(shared.result, withLogs)
      const read = { startedAt: now(), withLogs, result: readNow(id, withLogs) }
      reads.set(id, read)
      const forget = () => {
        if (reads.get(id) === read) reads.delete(id)
      }
      read.result.catch(forget)
      setTimeout(forget, sharedMilliseconds).unref()
      return read.result
    },
    queue: {
      ...queue,
      submit: changing(queue.submit),
      cancel: changing(queue.cancel),
      resume: changing(queue.resume),
      remove: changing(queue.remove),
    },
  }
}

async function answerOf(result: Promise<ReadRequest | undefined>, withLogs: boolean): Promise<ReadRequest | undefined> {
  const read = await result
  return read && !withLogs ? { ...read, logs: null } : read
}
