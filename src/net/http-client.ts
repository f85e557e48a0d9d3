/** One request for a part of a file: what is sent along, and what comes back. */

import { UserError } from '../platform/errors.ts'
import { Missing } from './byte-source.ts'
import { Transient } from './retry.ts'

export type Caller = {
  fetch: typeof fetch
  /** Only for the URL's own server, never for where it redirects. */
  token?: string | undefined
}

/**
 * Asks for bytes `start` to `end`, exclusive. Does not follow redirects, and judges no answer.
 * @param from the URL that people gave, whose server gets their login.
 * @throws Transient when no answer comes.
 */
export async function requestPart(
  { fetch, token }: Caller,
  from: URL,
  url: URL,
  [start, end]: readonly [number, number],
  signal: AbortSignal,
): Promise<Response> {
  const login = url.origin === from.origin ? loginOf(from, token) : undefined
  const headers = {
    range: `bytes=${start}-${end - 1}`,
    'accept-encoding': 'identity', // ranges of a compressed file are of no use
    ...(login !== undefined && { authorization: login }),
  }
  return fetch(withoutLogin(url), { headers, redirect: 'manual', signal }).catch((cause: Error) => {
    const { code } = (cause.cause ?? {}) as NodeJS.ErrnoException
    throw new Transient(`${placeOf(from)} cannot be reached${code ? ` (${code})` : ''}`, undefined, cause)
  })
}

/** For messages: without login and query, which may be secret. */
export const placeOf = ({ origin, pathname }: URL) => `${origin}${pathname}`

/** Which bytes a 206 says it holds, of how many. */
export function partOf({ headers }: Response) {
  const [, from, to, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? []
  return size === undefined ? undefined : { start: Number(from), end: Number(to) + 1, size: Number(size) }
}

/**
 * The body's chunks as they come. Throws the signal's reason as soon as it fires: a read that is pending then may never end on its own
 * (Node 20's fetch, when all bytes but not the end of the stream were seen).
 */
export async function* chunksOf({ body }: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    if (signal.aborted) reject(signal.reason)
  })
  aborted.catch(() => {}) // it may fire when nobody waits any more
  const reader = body?.getReader()
  while (reader) {
    const { done, value } = await Promise.race([reader.read(), aborted])
    if (done) return
    yield value
  }
}

/** Lets go of a body that nobody will read. */
export const discard = (response: Response) => response.body?.cancel().catch(() => {})

function loginOf({ username, password }: URL, token: string | undefined): string | undefined {
  if (token !== undefined) return `Bearer ${token}`
  if (username === '') return undefined
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return `Basic ${Buffer.from(login).toString('base64')}`
}

function withoutLogin(url: URL): URL {
  const bare = new URL(url) // fetch refuses URLs with credentials in them
  bare.username = ''
  bare.password = ''
  return bare
}

/** Where a file really is: at the end of the redirects of its URL, for as long as they hold. */

export type Found = {
  url: URL
  size: number
  /** Changes with the content, as far as the servers tell. */
  version: string
  /** What every answer must carry; undefined where the version says it better. */
  etag?: string
}

export type Guide = Caller & {
  /** Advice for people who are turned away; the reason is the hub's own word for it. */
  accessHint(reason: string | null): string
}

const mostRedirects = 10

/** @throws Transient when it may work the next time; UserError when the file cannot be read, or not in parts. */
export async function locate(start: URL, guide: Guide, signal: AbortSignal): Promise<Found> {
  let [url, linked] = [start, null as string | null]
  for (let hops = 0; hops <= mostRedirects; hops++) {
    const response = await requestPart(guide, start, url, [0, 1], signal)
    void discard(response)
    linked ??= response.headers.get('x-linked-etag') // the hub's hash of the content; its storages have tags of their own
    const next = response.headers.get('location')
    if (next === null || response.status < 300 || response.status > 399)
      return arrival(start, url, linked, response, guide)
    url = new URL(next, url)
  }
  throw new UserError(`${placeOf(start)} redirects in circles`, { hint: 'check the URL' })
}

function arrival(start: URL, url: URL, linked: string | null, response: Response, guide: Guide): Found {
  const place = placeOf(start)
  if (!response.ok) refuse(place, response, guide.accessHint)
  requirePart(place, response)
  const part = partOf(response)
  if (!part)
    throw new UserError(`${place} does not tell its size`, { hint: 'download the whole file, then pull from it' })
  const etag = response.headers.get('etag')
  const version = linked ?? etag ?? response.headers.get('last-modified') ?? 'no tag'
  return { url, size: part.size, version, ...(linked === null && etag !== null && { etag }) }
}

/** What a server's answer means for a download, in a sentence. */

/** @throws Transient for what may pass; UserError for what will not. */
export function refuse(
  place: string,
  { status, statusText, headers }: Response,
  accessHint: (reason: string | null) => string,
): never {
  const answered = `${place} answered ${status} ${statusText}`.trimEnd()
  if (status === 408 || status === 429 || status >= 500) throw new Transient(answered, secondsUntilRetry(headers))
  if (status === 401 || status === 403)
    throw new UserError(`${place} may not be read (${status})`, { hint: accessHint(headers.get('x-error-code')) })
  if (status === 404 || status === 410)
    throw new Missing(`${place} does not exist (${status})`, { hint: 'check it for typing errors' })
  if (status === 416)
    throw new UserError(`${place} is empty, or shorter than it was (416)`, { hint: 'check the file, and begin again' })
  throw new UserError(answered, { hint: 'check that the URL leads to the file itself' })
}

/** @throws UserError for a web page, and for a server that sends the whole file when asked for a part. */
export function requirePart(place: string, { status, headers }: Response) {
  if (/^text\/html\b/i.test(headers.get('content-type') ?? ''))
    throw new UserError(`${place} is a web page, not a file`, {
      hint: 'give the link of the file itself: on the hub, the one with /resolve/ in it',
    })
  if (status === 206) return
  throw new UserError(`${place} lies on a server that sends only whole files`, {
    hint: 'download the whole file, then: ltx-a2a pull <the file>',
  })
}

/** Seconds, or a date. */
function secondsUntilRetry(headers: Headers): number | undefined {
  const text = headers.get('retry-after')
  if (text === null) return undefined
  const seconds = /^\d+$/.test(text.trim()) ? Number(text) : (Date.parse(text) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined
}
