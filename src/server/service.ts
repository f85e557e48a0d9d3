/** `ltx-a2a serve` as a whole: the database, the HTTP server, a worker, and what is done every few seconds. */
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { guardFor } from '../net/guard.ts'
import { createHttpClient } from '../net/http-client.ts'
import { UserError } from '../platform/errors.ts'
import { lockFolder } from '../platform/lock.ts'
import { errorLog, type Log } from '../platform/log.ts'
import { toolVersion } from '../platform/version.ts'
import { type Database, openDatabase } from '../queue/database.ts'
import { loggedQueue } from '../queue/logged-queue.ts'
import { openQueue, superviseEvery } from '../queue/queue.ts'
import type { QueuedRequest } from '../queue/request.ts'
import { bindFolder, queueId } from '../queue/schema.ts'
import { createClosing, repeat } from '../worker/background.ts'
import { localFiles } from '../worker/job-files.ts'
import { dataFolderId, writeDataMark } from '../worker/shared-data.ts'
import { startWorker } from '../worker/worker.ts'
import { outputOf } from './answers.ts'
import { removeOld } from './retention.ts'
import { startServer } from './server.ts'
import { openSigningKey, signingKeyPath } from './signing-key.ts'
import { openStoredFiles } from './stored-files.ts'
import { callWebhooks } from './webhooks.ts'

export type ServiceOptions = {
  /** The folder of the server's data. It is created. */
  data: string
  host: string
  /** 0 for any that is free. */
  port: number
  key?: string | undefined
  publicUrl?: string | undefined
  /** Whether a proxy says in `X-Forwarded-For` where requests are from. */
  trustProxy?: boolean | undefined
  /** Whether requests may name files of this machine, and whether their URLs may lead into its network. */
  allowLocalPaths?: boolean | undefined
  allowPrivateUrls?: boolean | undefined
  /** Seconds that the work of a request may take. */
  timeLimit?: number | undefined
  /** A `postgres:` URL; without it the database is in the folder of the data. */
  database?: string | undefined
  /** How many requests are worked on at once, on this machine. */
  workers: number
  /** Completed requests, their runs and uploads are removed after so many days. Undefined keeps them. */
  retentionDays?: number | undefined
  /** Gets what those who run the server should know. */
  log: Log
}

export type Service = {
  url: string
  /** Running work is saved and goes on after the next start. Takes 10 s at most. */
  close(): Promise<void>
}

/**
 * Marks the data folder as that of this queue.
 * @param isShared whether servers with other folders could use the queue: their workers would not find the files of the requests.
 * @throws UserError where one has done so.
 */
async function claimFolder(data: string, database: Database, isShared: boolean) {
  const folder = dataFolderId(data)
  if (isShared && (await bindFolder(database, folder)) !== folder)
    throw new UserError(`the queue belongs to a server with another data folder than ${data}`, {
      hint: 'give --data the folder of that server, or --queue another database',
    })
  writeDataMark(data, { queue: await queueId(database), folder })
}

/** In milliseconds. */
const [webhooksEvery, retentionEvery] = [2_000, 3_600_000]

/** @throws UserError for a folder that another server uses, a database or port that cannot be used, and a key that is missing. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { data, database, workers, retentionDays, allowPrivateUrls = false, log } = options
  const onError = errorLog(log)
  await mkdir(data, { recursive: true, mode: 0o700 }) // the ids of runs and uploads are the permission to read them
  const lock = lockFolder(data)
  const { add, close } = createClosing()
  add(async () => lock.release())
  try {
    const opened = await openDatabase(database ?? join(data, 'database'))
    const queue = loggedQueue(await openQueue(opened, { onError, isOnly: database === undefined }), log)
    add(() => queue.close())
    await claimFolder(data, opened, database !== undefined)
    add(repeat(superviseEvery, queue.supervise, onError))
    if (retentionDays !== undefined) add(repeat(retentionEvery, () => removeOld(queue, data, retentionDays), onError))
    const signingKey = openSigningKey(signingKeyPath(data))
    const server = await startServer({ ...options, queue, signingKey, onError })
    const stopping = new AbortController()
    const client = createHttpClient({ guard: guardFor({ allowPrivate: allowPrivateUrls }) })
    const files = openStoredFiles(join(data, 'files'))
    const webhooks = { key: signingKey, client, signal: stopping.signal, onError, ...webhookLog(log) }
    const withUrls = (output: NonNullable<QueuedRequest['output']>) => outputOf(output, server.url, files)
    const endWebhooks = repeat(
      webhooksEvery,
      () => callWebhooks(queue, { ...webhooks, outputOf: withUrls }),
      (error) => stopping.signal.aborted || onError(error),
    )
    const local = localFiles(data, { allowPrivate: allowPrivateUrls })
    const running = Array.from({ length: workers }, (_, i) =>
      startWorker({ queue, name: `${hostname()}-${i + 1}`, files: local, onError }),
    )
    add(async () => {
      stopping.abort()
      await Promise.all([server.close(), endWebhooks(), ...running.map((worker) => worker.close())])
    })
    log('info', 'server_started', `Listening on ${server.url}`, {
      ...{ url: server.url, version: toolVersion, queue: database === undefined ? 'embedded' : 'postgres', workers },
    })
    return {
      url: server.url,
      close: async () => {
        log('info', 'server_stopping', 'Saving what is running')
        await close()
        log('info', 'server_stopped', 'Stopped')
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** The URL of a webhook may hold a secret. */
const webhookLog = (log: Log) => ({
  warn: (message: string, request: string) => log('warn', 'webhook_failed', message, { request }),
  delivered: (request: string) =>
    log('info', 'webhook_delivered', `The webhook of request ${request} was delivered`, { request }),
})
