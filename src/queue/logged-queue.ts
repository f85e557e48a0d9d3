/** A queue that logs what happens to requests. */
import type { Log, LogLevel } from '../platform/log.ts'
import type { Claim, Queue } from './queue.ts'
import { cancelledError, type RequestError } from './request.ts'

/** @param log gets what is done through the returned queue; other processes log their own part. */
export function loggedQueue(queue: Queue, log: Log): Queue {
  return {
    ...queue,
    submit: async (request) => {
      const queued = await queue.submit(request)
      const { id, kind, priority } = queued
      log('info', 'request_queued', `Request ${id} is queued`, { request: id, kind, priority })
      return queued
    },
    cancel: async (id) => {
      const result = await queue.cancel(id)
      if (result === 'requested')
        log('info', 'request_cancel_requested', `Request ${id} is to be cancelled`, { request: id })
      return result
    },
    resume: async (id) => {
      const isResumed = await queue.resume(id)
      if (isResumed) log('info', 'request_resumed', `Request ${id} is queued again`, { request: id })
      return isResumed
    },
    claim: async (worker) => {
      const claim = await queue.claim(worker)
      return claim && loggedClaim(claim, worker, log)
    },
    supervise: async () => {
      const ended = await queue.supervise()
      for (const id of ended.lost)
        log('warn', 'worker_lost', `The worker of request ${id} is gone: the request is queued again`, { request: id })
      for (const id of ended.late)
        log('warn', 'request_failed', `Request ${id} did not start in time`, { request: id, status: 504 })
      return ended
    },
  }
}

function loggedClaim(claim: Claim, worker: string, log: Log): Claim {
  const { request, attempt } = claim
  const startedAt = performance.now()
  const tell = (level: LogLevel, event: string, what: string, values: Parameters<Log>[3] = {}) =>
    log(level, event, `Request ${request.id} ${what}`, { request: request.id, attempt, worker, ...values })
  const seconds = () => Math.round(performance.now() - startedAt) / 1000
  let [isLost, tenth] = [false, 0]
  tell('info', 'request_started', `is worked on by ${worker}, attempt ${attempt}`)
  return {
    ...claim,
    heartbeat: async () => {
      const state = await claim.heartbeat()
      if (state === 'lost' && !isLost) tell('warn', 'request_lost', `no longer belongs to ${worker}`)
      isLost ||= state === 'lost'
      return state
    },
    progress: async (progress) => {
      await claim.progress(progress)
      const { stage, done, total } = progress
      const reached = stage === 'Training' && total > 0 ? Math.floor((10 * done) / total) : tenth
      if (reached > tenth) tell('info', 'request_progress', `is at step ${done} of ${total}`, { done, total })
      tenth = reached
    },
    complete: async (output) => {
      const isOurs = await claim.complete(output)
      if (isOurs) tell('info', 'request_completed', `is completed after ${seconds()} s`, { seconds: seconds() })
      return isOurs
    },
    fail: async (error) => {
      const isOurs = await claim.fail(error)
      if (isOurs) tell(...failure(error), { seconds: seconds(), status: error.status, type: typeOf(error) })
      return isOurs
    },
    release: async () => {
      await claim.release()
      tell('info', 'request_released', 'is back in the queue', { seconds: seconds() })
    },
  }
}

/** Errors name files and URLs of clients: only their types are logged. */
const failure = (error: RequestError): [LogLevel, string, string] =>
  error.type === cancelledError.type
    ? ['info', 'request_cancelled', 'is cancelled']
    : ['warn', 'request_failed', `has failed: ${typeOf(error) ?? error.status}`]

const typeOf = ({ type, detail }: RequestError) => type ?? (typeof detail === 'string' ? undefined : detail[0]?.type)
