/** One request for a part of a file: what is sent along, and what comes back. */
import { Transient } from './patience.ts'

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
