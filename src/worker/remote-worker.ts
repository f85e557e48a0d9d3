/** `ltx-a2a worker` as a whole: the queue on its server, the files of `ltx-a2a serve`, and a worker. */
import { mkdir } from 'node:fs/promises'
import { lockFolder } from '../platform/lock.ts'
import { openDatabase } from '../queue/database.ts'
import { openQueue, superviseEvery } from '../queue/queue.ts'
import { remoteFiles } from './remote-files.ts'
import { repeat } from './repeat.ts'
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
}

/**
 * Starts a worker. When it is closed, running work is saved and goes on elsewhere, which takes 10 s at most.
 * @throws UserError for a folder that another worker uses, a database that cannot be used, and a server that refuses; Interrupted when the signal is aborted.
 */
export async function startRemoteWorker(options: RemoteWorkerOptions): Promise<{ close(): Promise<void> }> {
  const { server, key, data, name, allowPrivateUrls: allowPrivate, signal, onError } = options
  await mkdir(data, { recursive: true })
  const lock = lockFolder(data)
  const closing: (() => Promise<unknown>)[] = [async () => lock.release()]
  const close = async () => {
    for (const end of closing.splice(0).reverse()) await end()
  }
  try {
    const files = remoteFiles({ server, key, folder: data, allowPrivate, onError })
    await files.check(signal)
    const queue = await openQueue(await openDatabase(options.queue), { onError })
    closing.push(() => queue.close())
    closing.push(repeat(superviseEvery, queue.supervise, onError))
    const worker = startWorker({ queue, name, files, onError })
    closing.push(async () => {
      await worker.close()
      files.close()
    })
    return { close }
  } catch (error) {
    await close()
    throw error
  }
}
