/** A worker: takes requests from the queue, one at a time, and does their work in a process of its own. */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { UserError } from '../platform/errors.ts'
import { sizeText } from '../platform/text.ts'
import type { Claim, Queue } from '../queue/queue.ts'
import { runJob } from './job.ts'
import { type JobFiles, leastFreeBytes } from './job-files.ts'
import { retrying } from './retrying.ts'

export type WorkerOptions = {
  queue: Pick<Queue, 'claim'>
  /** Shown with the requests that it has. */
  name: string
  files: JobFiles
  /** The script of the tool; by default that of this package. */
  bin?: string
  /** Added to the environment of the processes. */
  env?: Readonly<Record<string, string>>
  /** How often an idle worker asks for a request. */
  pollMs?: number
  heartbeatMs?: number
  /** Called with errors of the queue. The worker goes on. */
  onError?: (error: unknown) => void
}

export type Worker = {
  /** Takes no further request, and puts the one that it has back: its run is saved and goes on later. Takes 10 s at most. */
  close(): Promise<void>
}

/** Starts a worker. For several, one per graphics card, call it several times. */
export function startWorker(options: WorkerOptions): Worker {
  const { queue, name, pollMs = 1000, onError } = options
  const { bin = packagedTool, heartbeatMs = 2000, files, env } = options
  const controller = new AbortController()
  const { signal: shutdown } = controller

  const hasRoom = createRoomCheck(files, onError)
  const next = async (): Promise<Claim | undefined> => {
    if (!hasRoom()) return undefined
    const claim = await retrying(() => queue.claim(name), { signal: shutdown, onError })
    if (!claim || !shutdown.aborted) return claim
    await retrying(() => claim.release(), { signal: shutdown, onError })
    return undefined
  }
  const loop = async () => {
    while (!shutdown.aborted) {
      const claim = await next()
      if (claim) await runJob(claim, { files, bin, env, shutdown, heartbeatMs, onError })
      else await sleep(pollMs, undefined, { signal: shutdown }).catch(() => undefined)
    }
  }
  const ended = loop()
  return {
    close: () => {
      controller.abort()
      const late = sleep(longestCloseMs, undefined, { ref: false }) // the queue does not answer: the lease ends by itself
      return Promise.race([ended, late])
    },
  }
}

/** Whether a request can be worked on. That there is no room is said once, until there is. */
export function createRoomCheck(files: Pick<JobFiles, 'freeBytes'>, onError: WorkerOptions['onError']): () => boolean {
  let wasFull = false
  return () => {
    const isFull = files.freeBytes() < leastFreeBytes
    if (isFull && !wasFull)
      onError?.(
        new UserError(`the disk of the runs has less than ${sizeText(leastFreeBytes)} of room: requests wait`, {
          hint: 'make room, or use --retention',
        }),
      )
    wasFull = isFull
    return !isFull
  }
}

/** Less than the 10 s that containers get. */
const longestCloseMs = 9500

const packagedTool = fileURLToPath(new URL('../../bin/ltx-a2a.js', import.meta.url))
