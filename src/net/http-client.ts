/** HTTP requests with redirects followed here, so that a login never leaves its own server. */
import { UserError } from '../platform/errors.ts'
import { decodedText } from '../platform/text.ts'
import { createFetch, type Fetch, type FetchOptions, type FetchSettings } from './fetch.ts'
import { type Sleep, sleepSeconds, TransientError } from './retry.ts'

export type HttpClient = {
  fetch: Fetch
  /** How the client waits before it retries. */
  sleep: Sleep
}

/** @throws UserError when the certificates cannot be read. */
export const createHttpClient = ({
  sleep = sleepSeconds,
  ...settings
}: FetchSettings & { sleep?: Sleep | undefined } = {}): HttpClient => ({ fetch: createFetch(settings), sleep })

export type RequestOptions = {
  headers?: Record<string, string>
  /** A bearer token for the server of the first URL. */
  token?: string | undefined
  signal: AbortSignal
}

/**
 * Requests a URL without following redirects. The login of `start`, or the token, is sent only to the server of `start`.
 * @throws TransientError when no response comes; UserError for a proxy that is not a URL, and for an address that is not allowed; the reason of the
 * signal when it was aborted.
 */
export async function request(
  { fetch }: HttpClient,
  start: URL,
  url: URL,
  { method, headers = {}, body, token, signal }: RequestOptions & Pick<FetchOptions, 'method' | 'body'>,
): Promise<Response> {
  const authorization = url.origin === start.origin ? authorizationOf(start, token) : undefined
  const options = {
    method,
    body,
    headers: { ...headers, ...(authorization && { authorization }) },
    redirect: 'manual',
    signal,
  } as const
  return fetch(withoutLogin(url), options).catch((cause: Error) => {
    signal.throwIfAborted()
    if (cause instanceof UserError) throw cause
    const { code } = (cause.cause ?? cause) as NodeJS.ErrnoException
    throw new TransientError(`${shownUrl(start)} cannot be reached${code ? ` (${code})` : ''}`, { cause })
  })
}

const maxRedirects = 10

export type Redirected = {
  response: Response
  /** Where the redirects ended. */
  url: URL
  /** The responses that redirected. */
  hops: Response[]
}

/**
 * Requests a URL and follows its redirects. The bodies of responses that redirect are discarded.
 * @throws UserError for redirects in a circle, or away from http; otherwise as `request` does.
 */
export async function requestFollowingRedirects(
  client: HttpClient,
  start: URL,
  options: RequestOptions,
): Promise<Redirected> {
  const hops: Response[] = []
  for (let url = start; hops.length <= maxRedirects; ) {
    const response = await request(client, start, url, options)
    const location = response.headers.get('location')
    if (location === null || response.status < 300 || response.status > 399) return { response, url, hops }
    void discard(response)
    hops.push(response)
    url = redirectTarget(start, url, location)
  }
  throw new UserError(`${shownUrl(start)} redirects in circles`, {
    hint: 'open it in a browser and use the URL where it ends',
  })
}

function redirectTarget(start: URL, from: URL, location: string): URL {
  const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined
  if (target?.protocol === 'http:' || target?.protocol === 'https:') return target
  throw new UserError(`${shownUrl(start)} redirects to ${target?.protocol ?? 'nowhere'}, which is not the web`, {
    hint: 'download it yourself and give its path',
  })
}

/** For messages: without the user, password and query, which may be secret. */
export const shownUrl = ({ origin, pathname }: URL) => `${origin}${pathname}`

/** Whether the same request may succeed later. */
export const isTransientStatus = (status: number) => status === 408 || status === 429 || status >= 500

/** The seconds of a `Retry-After` header, which holds seconds or a date. */
export function retryAfterSeconds(headers: Headers): number | undefined {
  const text = headers.get('retry-after')
  if (text === null) return undefined
  const seconds = /^\d+$/.test(text.trim()) ? Number(text) : (Date.parse(text) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined
}

export const isWebPage = ({ headers }: Response) => /^text\/html\b/i.test(headers.get('content-type') ?? '')

/** The chunks of a body. Throws the reason of the signal as soon as it is aborted, whatever the connection reports because of that. */
export async function* chunksOf({ body }: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (body === null) return
  const reader = body.getReader()
  const stop = () => void reader.cancel(signal.reason).catch(() => {}) // ends a read that is pending
  signal.addEventListener('abort', stop, { once: true })
  try {
    for (;;) {
      signal.throwIfAborted()
      const { done, value } = await reader.read()
      signal.throwIfAborted()
      if (done) return
      yield value
    }
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
    reader.releaseLock()
  }
}

/** Cancels a body that will not be read. */
export const discard = (response: Response) => response.body?.cancel().catch(() => {})

function authorizationOf({ username, password }: URL, token: string | undefined): string | undefined {
  if (token !== undefined) return `Bearer ${token}`
  if (username === '') return undefined
  const login = `${decodedText(username)}:${decodedText(password)}`
  return `Basic ${Buffer.from(login).toString('base64')}`
}

function withoutLogin(url: URL): URL {
  const bare = new URL(url) // fetch refuses URLs that contain a login
  bare.username = ''
  bare.password = ''
  return bare
}
