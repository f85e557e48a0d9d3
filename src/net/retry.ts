/** Retrying what may succeed later: a busy server, a broken connection. */
import { setTimeout as sleepMilliseconds } from 'node:timers/promises'
import { UserError } from '../platform/errors.ts'

/** Waits, unless the signal is aborted. */
export type Sleep = (seconds: number, signal: AbortSignal) => Promise<void>

/** @throws the reason of the signal when it is aborted. */
export async function sleepSeconds(seconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleepMilliseconds(seconds * 1000, undefined, { signal })
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}

/** A failure that may not happen again. `retryAfter` is the number of seconds that the server asks to wait. */
export class TransientError extends Error {
  override readonly name = 'TransientError'
  readonly retryAfter: number | undefined

  constructor(message: string, { retryAfter, cause }: { retryAfter?: number | undefined; cause?: unknown } = {}) {
    super(message, { cause })
    this.retryAfter = retryAfter
  }
}

export type RetryPolicy = {
  /** Call it when data arrived: the next failure counts as the first. */
  reset(): void
  /** Waits before the next attempt. @throws the error when it is not transient; UserError after too many failures in a row. */
  afterFailure(error: unknown): Promise<void>
}

/** Failures in a row, with pauses of 1, 2, 4, 8 and 16 s between them. */
const maxAttempts = 6

/** The longest pause in seconds, whatever a server asks for in `Retry-After`. */
export const maxPause = 120

/**
 * Exponential backoff over failures in a row.
 * @param hint what to do after the last failure.
 */
export function createRetryPolicy(
  signal: AbortSignal,
  sleep: Sleep,
  { attempts = maxAttempts, hint }: { attempts?: number | undefined; hint: string },
): RetryPolicy {
  let failures = 0
  return {
    reset: () => {
      failures = 0
    },
    afterFailure: async (error) => {
      signal.throwIfAborted()
      if (!(error instanceof TransientError)) throw error
      if (++failures === attempts)
        throw new UserError(attempts === 1 ? error.message : `${error.message}, ${attempts} times in a row`, {
          hint,
          cause: error.cause,
        })
      await sleep(Math.min(error.retryAfter ?? 2 ** (failures - 1), maxPause), signal)
    },
  }
}

/** The result of the first attempt that does not fail. @throws as the policy does. */
export async function withRetry<Result>(policy: RetryPolicy, attempt: () => Promise<Result>): Promise<Result> {
  for (;;)
    try {
      return await attempt()
    } catch (error) {
      await policy.afterFailure(error)
    }
}

/** Seconds without a byte before a connection is given up. */
export const idleSeconds = 60

/**
 * Work on one connection, which is given up when nothing arrives for `idleSeconds`.
 * @param location what is requested, in messages.
 * @throws TransientError when it was given up; the reason of the signal when it is aborted; otherwise what the work throws.
 */
export async function withIdleTimeout<Result>(
  location: string,
  outer: AbortSignal,
  work: (timeout: IdleTimeout) => Promise<Result>,
): Promise<Result> {
  const timeout = startIdleTimeout(idleSeconds, outer)
  try {
    return await work(timeout)
  } catch (cause) {
    outer.throwIfAborted()
    if (timeout.hasExpired()) throw new TransientError(`${location} sent nothing for ${idleSeconds} s`, { cause })
    throw cause
  } finally {
    timeout.close()
  }
}

/** Aborts a connection over which nothing arrives. */
export type IdleTimeout = {
  /** Aborted after the idle time, and when the outer signal is. */
  signal: AbortSignal
  /** Whether the idle time has passed. */
  hasExpired(): boolean
  /** Call it when data arrived. */
  restart(): void
  /** Call it in any case: the timer keeps the process alive. */
  close(): void
}

export function startIdleTimeout(seconds: number, outer?: AbortSignal): IdleTimeout {
  const controller = new AbortController()
  let isExpired = false
  const expire = () => {
    isExpired = true
    controller.abort(new Error(`nothing arrived for ${seconds} s`))
  }
  const stop = () => controller.abort(outer?.reason)
  let timer = setTimeout(expire, seconds * 1000)
  outer?.addEventListener('abort', stop, { once: true })
  if (outer?.aborted) stop()
  return {
    signal: controller.signal,
    hasExpired: () => isExpired,
    restart: () => {
      clearTimeout(timer)
      timer = setTimeout(expire, seconds * 1000)
    },
    close: () => {
      clearTimeout(timer)
      outer?.removeEventListener('abort', stop)
      controller.abort()
    },
  }
}
