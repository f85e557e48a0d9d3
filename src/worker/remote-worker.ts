/** `ltx-a2a worker` as a whole: the queue on its server, the files of `ltx-a2a serve` over HTTP or in a shared folder, and a worker. */
import { mkdir } from 'node:fs/promises'
import { lockFolder } from '../platform/lock.ts'
import type { Log } from '../platform/log.ts'
import { maskedUrl } from '../platform/text.ts'
import { toolVersion } from '../platform/version.ts'
import { openDatabase } from '../queue/database.ts'
import { loggedQueue } from '../queue/logged-queue.ts'
import { openQueue, superviseEvery } from '../queue/queue.ts'
import { queueId } from '../queue/schema.ts'
import { createClosing, repeat } from './background.ts'
import { localFiles } from './job-files.ts'
import { remoteFiles } from './remote-files.ts'
import { checkSharedData } from './shared-data.ts'
import { startWorker } from './worker.ts'

export type RemoteWorkerOptions = {
  /** A `postgres:` URL. */
  queue: string
  /** The URL of the server; without it, the data folder of the server is shared. */
  server?: string | undefined
  key?: string | undefined
  /** The folder of what this worker has at the moment, which is created; without the URL of the server, the server's data folder. */
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
 * @throws UserError for a folder that another worker uses, a database that cannot be used, a server that refuses, and a folder that is not the server's; Interrupted when the signal is aborted.
 */
export async function startRemoteWorker(options: RemoteWorkerOptions): Promise<{ close(): Promise<void> }> {
  const { server, data, name, allowPrivateUrls: allowPrivate, onError, log } = options
  const { add, close } = createClosing()
  try {
    const remote = server === undefined ? undefined : await openRemoteFiles({ ...options, server })
    if (remote) add(remote.release)
    const database = await openDatabase(options.queue)
    const queue = loggedQueue(await openQueue(database, { onError }), log)
    add(() => queue.close())
    if (!remote) checkSharedData(data, await queueId(database))
    const files = remote?.files ?? localFiles(data, { allowPrivate })
    add(repeat(superviseEvery, queue.supervise, onError))
    const worker = startWorker({ queue, name, files, onError })
    add(async () => {
      await worker.close()
      remote?.files.close()
    })
    log(
      'info',
      'worker_joined',
      `Waiting for requests of ${server === undefined ? `the server in ${data}` : maskedUrl(server)}`,
      { worker: name, version: toolVersion },
    )
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

/** Locks the folder of the worker, and waits for the server. */
async function openRemoteFiles(options: RemoteWorkerOptions & { server: string }) {
  const { server, key, data: folder, allowPrivateUrls: allowPrivate, signal, onError } = options
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const lock = lockFolder(folder)
  try {
    const files = remoteFiles({ server, key, folder, allowPrivate, onError })
    await files.check(signal)
    await files.removeLeft()
    return { files, release: async () => lock.release() }
  } catch (error) {
    lock.release()
    throw error
  }
}
