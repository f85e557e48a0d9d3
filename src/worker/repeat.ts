/** Work in the background. */
import { setTimeout as sleep } from 'node:timers/promises'

/** Does something at once and again after some time. @returns what ends it. */
export function repeat(milliseconds: number, work: () => Promise<unknown>, onError: (error: unknown) => void) {
  const ending = new AbortController()
  const loop = async () => {
    while (!ending.signal.aborted) {
      await work().catch(onError)
      await sleep(milliseconds, undefined, { signal: ending.signal }).catch(() => {})
    }
  }
  const ended = loop()
  return () => {
    ending.abort()
    return ended
  }
}
