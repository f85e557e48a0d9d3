/** What a job reports: the lines of its log, and how far it is. They are collected, and written about once a second. */
import { withoutFolders } from '../platform/client-text.ts'
import { printable } from '../platform/text.ts'
import type { Claim } from '../queue/queue.ts'
import type { LogLine, RequestProgress } from '../queue/request.ts'

export type JobLog = {
  /** Clients read it: folders of this machine are left out. */
  add(message: string, level?: LogLine['level']): void
  /** The last one wins. */
  progress(progress: RequestProgress): void
  /** Writes what is there. A failure is not thrown: it is tried again with the next lines. */
  flush(): Promise<void>
  /** Writes the rest, unless `discard` is set. */
  close(options?: { discard?: boolean }): Promise<void>
}

const longestMessage = 4000

/** More than this is kept only of the newest, while the database cannot be reached. */
const mostPending = 2000

export type JobLogOptions = {
  intervalMs?: number
  onError?: ((error: unknown) => void) | undefined
}

export function createJobLog(
  claim: Pick<Claim, 'log' | 'progress'>,
  { intervalMs = 1000, onError }: JobLogOptions = {},
): JobLog {
  let lines: LogLine[] = []
  let latest: RequestProgress | undefined
  let [isClosed, writing] = [false, Promise.resolve()]
  const write = async () => {
    if (isClosed) return
    const [written, progress] = [lines, latest]
    ;[lines, latest] = [[], undefined]
    try {
      if (written.length > 0) await claim.log(written)
      written.length = 0
      if (progress) await claim.progress(progress)
    } catch (error) {
      lines = [...written, ...lines].slice(-mostPending)
      latest ??= progress
      onError?.(error)
    }
  }
  const flush = () => {
    writing = writing.then(write)
    return writing
  }
  const timer = setInterval(() => void flush(), intervalMs)
  return {
    add: (message, level = 'INFO') => {
      const text = printable(withoutFolders(message)).slice(0, longestMessage)
      lines.push({ message: text, level, source: 'USER', timestamp: new Date().toISOString() })
      if (lines.length > mostPending) lines.shift()
    },
    progress: (progress) => {
      latest = progress
    },
    flush,
    close: async ({ discard = false } = {}) => {
      clearInterval(timer)
      if (discard) isClosed = true
      else await flush()
      isClosed = true
    },
  }
}
