/** Work in the background, and its end. */
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

/** What is ended when a server or a worker closes: what began last is ended first. */
export function createClosing(): { add(end: () => Promise<unknown>): void; close(): Promise<void> } {
  const ends: (() => Promise<unknown>)[] = []
  return {
    add: (end) => void ends.push(end),
    close: async () => {
      for (const end of ends.splice(0).reverse()) await end()
    },
  }
}
