/** `ltx-a2a worker` as a whole: the queue on its server, the files of `ltx-a2a serve`, and a worker. */
import { mkdir } from 'node:fs/promises'
import { lockFolder } from '../platform/lock.ts'
import type { Log } from '../platform/log.ts'
import { maskedUrl } from '../platform/text.ts'
import { toolVersion } from '../platform/version.ts'
import { openDatabase } from '../queue/database.ts'
import { loggedQueue } from '../queue/logged-queue.ts'
import { openQueue, superviseEvery } from '../queue/queue.ts'
import { createClosing, repeat } from './background.ts'
import { remoteFiles } from './remote-files.ts'
import { startWorker } from './worker.ts'

export type RemoteWorkerOptions = {
  /** A `postgres:` URL. */
  queue: string
  /** The URL of the server. */
  server: string
  key?: string | undefined
  /** The folder of what this worker has at the moment. It is created. */
  data: string
  /** Shown with the requests that it has. */
  name: string
  allowPrivateUrls?: boolean | undefined
  /** Aborted while the worker starts: it waits for the server. */
  signal: AbortSignal
  /** Called with what is tried again. */
  onError: (error: unknown) => void
  /** Gets what happens to requests. */
  log: Log
}

/**
 * Starts a worker. When it is closed, running work is saved and goes on elsewhere, which takes 10 s at most.
 * @throws UserError for a folder that another worker uses, a database that cannot be used, and a server that refuses; Interrupted when the signal is aborted.
 */
export async function startRemoteWorker(options: RemoteWorkerOptions): Promise<{ close(): Promise<void> }> {
  const { server, key, data, name, allowPrivateUrls: allowPrivate, signal, onError, log } = options
  await mkdir(data, { recursive: true })
  const lock = lockFolder(data)
  const { add, close } = createClosing()
  add(async () => lock.release())
  try {
    const files = remoteFiles({ server, key, folder: data, allowPrivate, onError })
    await files.check(signal)
    const queue = loggedQueue(await openQueue(await openDatabase(options.queue), { onError }), log)
    add(() => queue.close())
    add(repeat(superviseEvery, queue.supervise, onError))
    const worker = startWorker({ queue, name, files, onError })
    add(async () => {
      await worker.close()
      files.close()
    })
    log('info', 'worker_joined', `Waiting for requests of ${maskedUrl(server)}`, { worker: name, version: toolVersion })
    return {
      close: async () => {
        await close()
        log('info', 'worker_left', 'Stopped', { worker: name })
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}
