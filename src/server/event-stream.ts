/** The status of a request as server-sent events. */
import { setTimeout } from 'node:timers/promises'
import type { LogLine } from '../queue/request.ts'
import { statusOf } from './answers.ts'
import type { Services } from './services.ts'

/** Proxies close connections on which nothing comes. In milliseconds. */
const commentInterval = 15_000

/**
 * One event for each change of the status or the position, and for new lines of the log, which each event has alone. Ends after the event of the completed
 * request, and when the signal is aborted.
 */
export async function* statusEvents(
  id: string,
  { base, withLogs, signal }: { base: string; withLogs: boolean; signal: AbortSignal },
  { queue, pollInterval }: Services,
): AsyncGenerator<string> {
  let shown = ''
  let lines = 0
  let silentSince = Date.now()
  while (!signal.aborted) {
    const request = await queue.get(id)
    if (!request) return
    const position = request.status === 'IN_QUEUE' ? await queue.position(id) : 0
    const logs: LogLine[] = withLogs && request.status !== 'IN_QUEUE' ? await queue.logs(id, lines) : []
    const state = `${request.status} ${position}`
    if (state !== shown || logs.length > 0) {
      yield `data: ${asciiJson(statusOf(request, { base, position, logs: withLogs ? logs : null }))}\n\n`
      shown = state
      lines += logs.length
      silentSince = Date.now()
    } else if (Date.now() - silentSince >= commentInterval) {
      yield ': waiting\n\n'
      silentSince = Date.now()
    }
    if (request.status === 'COMPLETED') return
    await setTimeout(pollInterval, undefined, { signal }).catch(() => undefined) // aborted: the loop ends
  }
}

/** Clients decode each chunk of the stream on its own, which would break characters of several bytes. */
export const asciiJson = (value: unknown) =>
  JSON.stringify(value).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** @param abort is called when the reader goes away. */
export function streamOf(events: AsyncGenerator<string>, abort: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await events.next()
      if (done) controller.close()
      else controller.enqueue(encoder.encode(value))
    },
    cancel: abort,
  })
}
