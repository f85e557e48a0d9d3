/** The HTTP interface of the server: the API of the hosted trainer, its files, and what those who run it look at. */
import { join } from 'node:path'
import { Hono } from 'hono'
import { guardFor } from '../net/guard.ts'
import { UserError } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'
import type { Log } from '../platform/log.ts'
import { isUnreachable } from '../queue/database.ts'
import type { Queue } from '../queue/queue.ts'
import { accessLog } from './access-log.ts'
import { createAddressLimit } from './addresses.ts'
import { trainEndpoint } from './endpoints.ts'
import { fileRoutes } from './file-routes.ts'
import { answerError, HttpError } from './http-error.ts'
import { inputParameters } from './input.ts'
import { defaultServerLimits, type ServerLimits } from './limits.ts'
import { createMetrics } from './metrics.ts'
import { monitoringRoutes } from './monitoring-routes.ts'
import type { PageFiles } from './pages/page-files.ts'
import { createPages } from './pages/pages.ts'
import { createSessions } from './pages/sessions.ts'
import { queueRoutes } from './queue-routes.ts'
import { createRequestReader } from './request-reader.ts'
import { removeRequest } from './retention.ts'
import { checkHost, checkOrigin, createKeys, keyAttempts, requireKeyFor } from './security.ts'
import type { Env, Services } from './services.ts'
import { openSigningKey, type SigningKey, signingKeyPath } from './signing-key.ts'
import { keyOfPath, openStoredFiles, type StoredFiles, urlOfKey } from './stored-files.ts'
import { uploadRoutes } from './upload-routes.ts'
import { noRoom, openUploads } from './uploads.ts'
import { isWebUrl, parsedUrl } from './urls.ts'
import { workerRoutes } from './worker-routes.ts'

export type AppOptions = {
  queue: Queue
  /** The folder of the server's data: the files are in `files` below it. */
  data: string
  /** The name or address that the server listens on. */
  host: string
  /** What clients must show. Required where others than programs on this machine reach the server. */
  key?: string | undefined
  /** Where clients reach the server, if that is not where it listens: behind a proxy. */
  publicUrl?: string | undefined
  /** Whether a proxy in front of the server says in `X-Forwarded-For` where requests are from. */
  trustProxy?: boolean | undefined
  /** Whether inputs may name paths on this machine. */
  allowLocalPaths?: boolean | undefined
  limits?: Partial<ServerLimits> | undefined
  /** Whether URLs of clients may lead into the network of this machine. */
  allowPrivateUrls?: boolean | undefined
  /** Seconds that the work of a request may take. */
  timeLimit?: number | undefined
  /** Signs what is sent to webhooks. By default the one in the folder of the data. */
  signingKey?: SigningKey | undefined
  /** Gets the errors that are the server's fault; clients are told no more than that there was one. */
  onError?: ((error: unknown) => void) | undefined
  /** Gets every request, and what was uploaded or refused. */
  log?: Log | undefined
  pollInterval?: number | undefined
  /** Ends the answers that wait. */
  closing?: AbortSignal | undefined
}

/** @throws UserError for a server that would be open to everyone, or whose public URL is not one. */
export function createApp(options: AppOptions): { app: Hono<Env>; services: Services } {
  const { data, host, key, publicUrl, onError, pollInterval = 500 } = options
  const { allowLocalPaths = false, trustProxy: isProxied = false } = options
  requireKeyFor(host, key)
  if (publicUrl !== undefined && !isWebUrl(publicUrl))
    throw new UserError(`${publicUrl} is not an http(s) URL`, { hint: 'write --public-url as https://host' })
  const { queue, read } = createRequestReader(options.queue)
  const limits = { ...defaultServerLimits, ...options.limits }
  const files = openStoredFiles(join(data, 'files'))
  const sessions = createSessions(key)
  const wrongKeys = createAddressLimit(keyAttempts, { isProxied })
  const services: Services = {
    queue,
    readRequest: read,
    files,
    remove: (id) => removeRequest(queue, data, id),
    limits,
    publicUrl,
    pollInterval,
    uploads: openUploads(files, limits),
    keys: createKeys(key, wrongKeys, (c) => sessions.isNeeded && sessions.isSignedIn(c)),
    guard: guardFor({ allowPrivate: options.allowPrivateUrls ?? false }),
    jwks: (options.signingKey ?? openSigningKey(signingKeyPath(data))).jwks,
    timeLimit: options.timeLimit,
    allowLocalPaths,
    closing: options.closing ?? new AbortController().signal,
  }
  const metrics = createMetrics(services.closing)
  const app = new Hono<Env>()
  app.use(metrics.measure)
  if (options.log) app.use(accessLog(options.log))
  app.use(async (c, next) => {
    await next()
    c.header('x-content-type-options', 'nosniff')
    c.header('referrer-policy', 'no-referrer') // the URL of a file is the permission to read it
    if (!c.res.headers.has('cache-control')) c.header('cache-control', 'no-store')
  })
  app.use(checkHost({ host, publicUrl }), checkOrigin({ publicUrl }))
  app.route('/', monitoringRoutes(services, metrics))
  app.route('/', uploadRoutes(services))
  app.route('/', workerRoutes(services, metrics.countSent))
  app.route('/', fileRoutes(services, metrics.countSent))
  const root = publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/$/, '')
  app.route(
    '/',
    createPages({
      ...{ queue, sessions, root, allowLocalPaths, onError, parameters: inputParameters },
      files: pageFiles(files, root),
      remove: services.remove,
      secondsUntilSignIn: createAddressLimit(keyAttempts, { isProxied }),
      submitPath: `/${trainEndpoint}`,
      uploadPath: '/storage/upload/initiate',
    }),
  )
  app.route('/', queueRoutes(services))
  app.notFound((c) => answerError(c, { status: 404, detail: `There is nothing at ${c.req.path.slice(0, 200)}` }))
  app.onError((error, c) => {
    if (error instanceof HttpError) return answerError(c, error.error, error.headers)
    if (c.req.raw.signal.aborted) return c.body(null, 499 as 500) // nobody is there to read an answer
    if (isUnreachable(error))
      return answerError(c, { status: 503, detail: 'The queue does not answer' }, { 'retry-after': '5' })
    onError?.(error)
    if (isDiskFull(error)) return answerError(c, noRoom().error)
    return answerError(c, { status: 500, detail: 'Internal server error', type: 'internal_server_error' })
  })
  return { app, services }
}

/** @param root the path below which the server is seen. */
const pageFiles = (files: StoredFiles, root: string): PageFiles => ({
  folder: files.folder,
  resolve: async (key) => ((await files.find(key)) ? files.pathOf(key) : undefined),
  urlOf: (key) => urlOfKey(root, key),
  keyOf: (url) => {
    const path = parsedUrl(url)?.pathname ?? ''
    return path.startsWith(`${root}/`) ? keyOfPath(path.slice(root.length)) : undefined
  },
})
