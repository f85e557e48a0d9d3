/** Trying again what may work the next time: a server that is busy, a line that breaks off. */
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError } from '../platform/errors.ts'

/** Waits, unless the signal ends it. */
export type Wait = (seconds: number, signal: AbortSignal) => Promise<void>

export const realWait: Wait = (seconds, signal) => sleep(seconds * 1000, undefined, { signal })

/** Worth another try, after as long as the server asks for. */
export class Transient extends Error {
  override readonly name = 'Transient'
  constructor(
    message: string,
    readonly retryAfter?: number,
    cause?: unknown,
  ) {
    super(message, { cause })
  }
}

/** Failures in a row, with waits of 1, 2, 4, 8, 16 s between them. */
const mostTries = 6

/** Nobody waits longer for one more try, whatever a server asks for. */
const longestWait = 120

export type Patience = {
  /** Something arrived: the next failure is the first again. */
  renew(): void
  /** @throws the error where trying again is of no use; UserError when it was of none. */
  afterFailure(error: unknown): Promise<void>
}

/** Counts failures in a row. */
export function createPatience(signal: AbortSignal, wait: Wait): Patience {
  let failures = 0
  return {
    renew: () => {
      failures = 0
    },
    afterFailure: async (error) => {
      signal.throwIfAborted()
      if (!(error instanceof Transient)) throw error
      if (++failures === mostTries)
        throw new UserError(`${error.message}, ${mostTries} times in a row`, {
          hint: 'try again later: what has arrived is kept',
          cause: error.cause,
        })
      await wait(Math.min(error.retryAfter ?? 2 ** (failures - 1), longestWait), signal)
    },
  }
}

/** The first result that is no transient failure. */
export async function persist<Result>(patience: Patience, attempt: () => Promise<Result>): Promise<Result> {
  for (;;)
    try {
      return await attempt()
    } catch (error) {
      await patience.afterFailure(error)
    }
}

/** A connection that says nothing for a minute is given up, and another one tried. */

const longestSilence = 60_000

export type Silence = {
  /** Fires when nothing was heard for too long, and when the outer signal does. */
  signal: AbortSignal
  heard(): void
  end(): void
}

/** Call `end` in any case: its timer would keep the process alive. */
export function listenForSilence(signal: AbortSignal): Silence {
  const controller = new AbortController()
  const giveUp = () => controller.abort(new Error('nothing was heard for a minute'))
  const stop = () => controller.abort(signal.reason)
  let timer = setTimeout(giveUp, longestSilence)
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  return {
    signal: controller.signal,
    heard: () => {
      clearTimeout(timer)
      timer = setTimeout(giveUp, longestSilence)
    },
    end: () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      controller.abort()
    },
  }
}
