/** What the routes work with. */
import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import type { Guard } from '../net/guard.ts'
import type { Queue } from '../queue/queue.ts'
import type { ServerLimits } from './limits.ts'
import type { RequestReader } from './request-reader.ts'
import type { Keys } from './security.ts'
import type { Jwks } from './signing-key.ts'
import type { StoredFiles } from './stored-files.ts'
import type { Uploads } from './uploads.ts'

export type Services = {
  queue: Queue
  /** Reads for clients that poll. */
  readRequest: RequestReader['read']
  files: StoredFiles
  /** Removes a completed request with its files. */
  remove: (id: string) => Promise<'removed' | 'running' | 'unknown'>
  uploads: Uploads
  keys: Keys
  limits: ServerLimits
  /** Where clients reach the server; undefined where that is how each of them reaches it. */
  publicUrl?: string | undefined
  /** Whether inputs may name paths on this machine. */
  allowLocalPaths: boolean
  /** What webhooks and their signatures need. */
  guard: Guard | undefined
  jwks: Jwks
  /** Seconds that the work of a request may take. */
  timeLimit?: number | undefined
  /** How often waiting answers look at the queue, in milliseconds. */
  pollInterval: number
  /** Aborted when the server closes: answers that wait end. */
  closing: AbortSignal
}

export type Env = { Bindings: HttpBindings }

export const createRouter = () => new Hono<Env>()
