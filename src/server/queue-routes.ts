/** The queue of the hosted API, and its synchronous calls. */
import { setTimeout } from 'node:timers/promises'
import type { Context } from 'hono'
import type { Guard } from '../net/guard.ts'
import type { NewRequest, QueuedRequest } from '../queue/request.ts'
import { outputOf, statusOf } from './answers.ts'
import { readJson } from './body.ts'
import { type Endpoint, endpoints } from './endpoints.ts'
import { statusEvents, streamOf } from './event-stream.ts'
import { finding } from './findings.ts'
import { answerError, HttpError } from './http-error.ts'
import { checkTrainingInput } from './input.ts'
import { createPlaces } from './places.ts'
import { createRateLimit } from './security.ts'
import { createRouter, type Env, type Services } from './services.ts'
import { isUuid } from './stored-files.ts'
import { baseUrl, ownUrls, urlRefusal } from './urls.ts'

/**
 * The hosted API has two hosts, `queue.fal.run` and `fal.run`, with the same paths. Here they are `/queue` and `/run`; without either, a path is of the
 * queue. Clients use the URLs of the requests with and without the last part of the endpoint's path.
 */
export function queueRoutes(services: Services) {
  const { queue, files, keys, publicUrl, limits, pollInterval, closing, guard, timeLimit } = services
  const secondsUntilNext = createRateLimit(limits.submissions)
  const routes = createRouter()

  for (const endpoint of endpoints) {
    const { path, owner, app } = endpoint
    routes.post(`/run/${path}`, keys.require, async (c) => runAndWait(c, await submit(c, endpoint)))
    for (const prefix of ['', '/queue']) {
      routes.post(`${prefix}/${path}`, keys.require, async (c) => {
        const request = await submit(c, endpoint)
        return c.json(statusOf(request, { base: base(c), position: await queue.position(request.id), logs: null }))
      })
      for (const requests of new Set([`${prefix}/${owner}/${app}/requests/:id`, `${prefix}/${path}/requests/:id`])) {
        routes.get(requests, keys.require, async (c) => answerResult(c, await find(c, endpoint)))
        routes.get(`${requests}/status`, keys.require, (c) => answerStatus(c, endpoint))
        routes.get(`${requests}/status/stream`, keys.require, async (c) => answerEvents(c, await find(c, endpoint)))
        routes.delete(requests, keys.require, async (c) => remove(c, await find(c, endpoint)))
        routes.put(`${requests}/cancel`, keys.require, (c) => cancel(c, endpoint))
      }
    }
  }
  return routes

  function base(c: Context<Env>) {
    return baseUrl(c, publicUrl)
  }

  async function submit(c: Context<Env>, { kind, path }: Endpoint): Promise<QueuedRequest> {
    requireOpen()
    requireRate()
    const port = c.env.incoming.socket.localPort ?? 0
    const places = createPlaces(ownUrls(c, publicUrl, port), services)
    const options = submitOptions(c, guard)
    const input = await readJson(c, limits)
    const parameters = await checkTrainingInput(input, places)
    requireOpen() // the body may have taken a while
    const request = await queue.submit({
      kind,
      endpoint: path,
      input: input as Record<string, unknown>,
      parameters,
      timeLimit,
      ...options,
    })
    c.header('x-fal-request-id', request.id)
    return request
  }

  /** @throws HttpError 503 while the server stops: a client that waits reaches the next start. */
  function requireOpen() {
    if (closing.aborted)
      throw new HttpError(503, `The server stops: try again in ${secondsToStart} s`, {
        type: 'server_stopped',
        headers: { 'retry-after': String(secondsToStart), connection: 'close' },
      })
  }

  /**
   * 503 says that a later attempt can succeed, and nothing was queued that a repeated request would double. Not 429, which the Python client repeats up to
   * ten times from a tenth of a second on; the JavaScript client repeats a 503 three times, after seconds.
   */
  function requireRate() {
    const seconds = secondsUntilNext()
    if (seconds > 0)
      throw new HttpError(503, `Too many requests at once: try again in ${seconds} s`, {
        type: 'rate_limited',
        headers: { 'retry-after': String(seconds) },
      })
  }

  /** @throws HttpError 404 for a request that does not exist, or is of another endpoint. */
  async function lookUp<Found extends { request: QueuedRequest }>(
    c: Context<Env>,
    { path }: Endpoint,
    read: (id: string) => Promise<Found | undefined>,
  ): Promise<Found> {
    const id = c.req.param('id') ?? ''
    const found = isUuid(id) ? await read(id) : undefined
    if (found?.request.endpoint !== path) throw new HttpError(404, 'Request not found')
    c.header('x-fal-request-id', id)
    return found
  }

  /** @throws HttpError 404. */
  async function find(c: Context<Env>, endpoint: Endpoint): Promise<QueuedRequest> {
    const read = async (id: string) => {
      const request = await queue.get(id)
      return request && { request }
    }
    return (await lookUp(c, endpoint, read)).request
  }

  /** Clients ask for it every half second: they share reads. @throws HttpError 404. */
  async function answerStatus(c: Context<Env>, endpoint: Endpoint) {
    const { request, position, logs } = await lookUp(c, endpoint, (id) => services.readRequest(id, wantsLogs(c)))
    return c.json(statusOf(request, { base: base(c), position, logs }), request.status === 'COMPLETED' ? 200 : 202)
  }

  async function answerEvents(c: Context<Env>, { id }: QueuedRequest) {
    const gone = new AbortController()
    const signal = AbortSignal.any([closing, gone.signal])
    const events = statusEvents(id, { base: base(c), withLogs: wantsLogs(c), signal }, services)
    c.header('content-type', 'text/event-stream')
    c.header('x-accel-buffering', 'no') // nginx would keep the events back
    return c.body(streamOf(events, () => gone.abort()))
  }

  async function answerResult(c: Context<Env>, { status, output, error }: QueuedRequest) {
    if (status !== 'COMPLETED')
      throw new HttpError(400, 'Request is still in progress', { type: 'request_in_progress' })
    if (error) return answerError(c, error)
    c.header('X-Fal-Billable-Units', '0')
    return c.json(await outputOf(output ?? {}, base(c), files))
  }

  async function remove(c: Context<Env>, { id }: QueuedRequest) {
    if ((await services.remove(id)) === 'running')
      throw new HttpError(400, 'Request is still in progress: cancel it first', { type: 'request_in_progress' })
    return c.body(null, 204)
  }

  async function cancel(c: Context<Env>, endpoint: Endpoint) {
    const { id } = await find(c, endpoint).catch((error) => {
      if (error instanceof HttpError && error.error.status === 404) return { id: undefined }
      throw error
    })
    switch (id === undefined ? 'unknown' : await queue.cancel(id)) {
      case 'requested':
        return c.json({ status: 'CANCELLATION_REQUESTED' }, 202)
      case 'completed':
        return c.json({ status: 'ALREADY_COMPLETED' }, 400)
      default:
        return c.json({ status: 'NOT_FOUND' }, 404)
    }
  }

  /**
   * A client that goes away cancels its request: nobody would get the result, and a client that tries again would train twice. The end of the server does
   * not; its answer is one that clients do not repeat.
   */
  async function runAndWait(c: Context<Env>, { id }: QueuedRequest) {
    const gone = new AbortController()
    c.env.outgoing.once('close', () => gone.abort())
    const signal = AbortSignal.any([closing, gone.signal])
    for (;;) {
      const request = await queue.get(id)
      if (!request) throw new HttpError(404, 'Request not found')
      if (request.status === 'COMPLETED') return answerResult(c, request)
      await setTimeout(pollInterval, undefined, { signal }).catch(() => undefined)
      if (gone.signal.aborted) await queue.cancel(id)
      if (signal.aborted)
        throw new HttpError(500, `The server stops. The request goes on when it is back: ${id}`, {
          type: 'server_stopped',
        })
    }
  }
}

/** How long a restart takes, about. */
const secondsToStart = 10

/** Python clients write `true`. */
const wantsLogs = (c: Context) => ['1', 'true', 'True'].includes(c.req.query('logs') ?? '')

/** What a client says about a request beside its input. @throws HttpError 422. */
function submitOptions(
  c: Context,
  guard: Guard | undefined,
): Pick<NewRequest, 'priority' | 'startTimeout' | 'webhook'> {
  const [priorityHeader, timeoutHeader] = ['x-fal-queue-priority', 'x-fal-request-timeout']
  const priority = c.req.header(priorityHeader)?.toLowerCase() ?? 'normal'
  if (priority !== 'low' && priority !== 'normal')
    throw new HttpError(422, [
      finding(['header', priorityHeader], 'one_of', "Input should be 'low' or 'normal'", {
        ctx: { expected: ['low', 'normal'] },
        input: priority,
      }),
    ])
  const timeout = c.req.header(timeoutHeader)
  const startTimeout = timeout === undefined ? undefined : Number(timeout)
  if (startTimeout !== undefined && !(startTimeout > 0 && Number.isFinite(startTimeout)))
    throw new HttpError(422, [
      finding(['header', timeoutHeader], 'greater_than', 'Input should be greater than 0', {
        ctx: { gt: 0 },
        input: timeout,
      }),
    ])
  if (startTimeout !== undefined && startTimeout > longestTimeout)
    throw new HttpError(422, [
      finding(['header', timeoutHeader], 'less_than_equal', `Input should be less than or equal to ${longestTimeout}`, {
        ctx: { le: longestTimeout },
        input: timeout,
      }),
    ])
  const webhook = c.req.query('fal_webhook')
  const why = webhook === undefined ? undefined : webhookRefusal(webhook, guard)
  if (why !== undefined)
    throw new HttpError(422, [finding(['query', 'fal_webhook'], 'url_parsing', why, { input: webhook })])
  return { priority, startTimeout, webhook }
}

/** Seconds: a year. */
const longestTimeout = 31_536_000

/** Control characters, which the parser of URLs removes. */
const webhookRefusal = (url: string, guard: Guard | undefined) =>
  /\p{Cc}/u.test(url) ? 'Input should be an http(s) URL' : urlRefusal(url, guard)
