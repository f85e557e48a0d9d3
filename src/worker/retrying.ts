/** The queue or the server may not be reachable for a while: it restarts, or the network is down. */
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError } from '../platform/errors.ts'

const [firstPause, longestPause] = [250, 5000]

/** In milliseconds. */
const lastTries = 1000

/**
 * Tries until it works, with pauses of up to 5 s. Once the signal is aborted, it is tried for one more second.
 * @returns undefined where it never worked.
 * @throws a UserError of the work, which it would throw again.
 */
export async function retrying<T>(
  work: () => Promise<T>,
  { signal, onError }: { signal: AbortSignal; onError?: ((error: unknown) => void) | undefined },
): Promise<T | undefined> {
  let abortedAt: number | undefined
  for (let pause = firstPause; ; pause = Math.min(2 * pause, longestPause)) {
    try {
      return await work()
    } catch (error) {
      if (error instanceof UserError) throw error
      onError?.(error)
    }
    if (signal.aborted) abortedAt ??= performance.now()
    if (abortedAt !== undefined && performance.now() - abortedAt > lastTries) return undefined
    await (signal.aborted ? sleep(firstPause) : sleep(pause, undefined, { signal }).catch(() => undefined))
  }
}
