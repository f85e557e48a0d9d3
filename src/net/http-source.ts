/** A file on a server, read by byte ranges. Redirects are followed once, not for every range: the hub counts requests, its storage does not. */
import { UserError } from '../platform/errors.ts'
import { decodedText } from '../platform/text.ts'
import { type ByteSource, NotFoundError } from './byte-source.ts'
import {
  chunksOf,
  discard,
  type HttpClient,
  isTransientStatus,
  isWebPage,
  request,
  requestFollowingRedirects,
  retryAfterSeconds,
  shownUrl,
} from './http-client.ts'
import {
  createRetryPolicy,
  idleSeconds,
  startIdleTimeout,
  TransientError,
  withIdleTimeout,
  withRetry,
} from './retry.ts'

export type LocateOptions = {
  /** A bearer token for the server of the URL. */
  token?: string | undefined
  /** The hint when access is refused; `reason` is the error code of the hub. */
  accessHint(reason: string | null): string
  /** How often the file is looked for while the server is busy or does not answer. */
  attempts?: number
}

/** @throws UserError when the file cannot be read, or not in parts. */
export async function openHttpSource(
  url: URL,
  signal: AbortSignal,
  client: HttpClient,
  options: LocateOptions,
): Promise<ByteSource> {
  const location = shownUrl(url)
  const createPolicy = (attempts?: number) =>
    createRetryPolicy(signal, client.sleep, { attempts, hint: 'try again later: what has arrived is kept' })
  const first = await withRetry(createPolicy(options.attempts), () => locate(url, signal, client, options))
  let found = first

  /** Links into a storage expire: then the URL is resolved again. */
  const relocate = async (signal: AbortSignal) => {
    found = await locate(url, signal, client, options)
    if (found.version !== first.version || found.size !== first.size) throw replacedError(location)
  }

  /** The chunks of one request. */
  async function* requestRange(start: number, end: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const headers = rangeHeaders(start, end)
    const response = await request(client, url, found.url, { headers, token: options.token, signal })
    try {
      if (found.url !== url && [401, 403, 404, 410].includes(response.status)) {
        await relocate(signal)
        throw new TransientError(`${location} has moved`, { retryAfter: 0 })
      }
      checkStatus(location, response, options)
      requirePartialContent(location, response)
      const range = contentRangeOf(response)
      if (range?.size !== first.size) throw replacedError(location)
      if (found.etag !== undefined && found.etag !== response.headers.get('etag')) throw replacedError(location)
      if (range.start !== start || range.end !== end) throw otherBytesError(location)
      yield* chunksOf(response, signal)
    } finally {
      void discard(response)
    }
  }

  async function* read(start: number, end: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const policy = createPolicy()
    for (let position = start; position < end; ) {
      const timeout = startIdleTimeout(idleSeconds, signal)
      try {
        for await (const chunk of requestRange(position, end, timeout.signal)) {
          const wanted = chunk.subarray(0, end - position)
          position += wanted.length
          timeout.restart()
          policy.reset()
          yield wanted
        }
        if (position < end) throw brokenOff(location)
      } catch (error) {
        const isKnown = error instanceof UserError || error instanceof TransientError
        await policy.afterFailure(isKnown ? error : brokenOff(location, error))
      } finally {
        timeout.close()
      }
    }
  }

  return { name: nameOf(url), location, size: first.size, version: first.version, read, close: async () => {} }
}

type LocatedFile = {
  /** Where the redirects end, for as long as that link is valid. */
  url: URL
  size: number
  /** Changes with the content, as far as the servers tell. */
  version: string
  /** What every response must carry; undefined where the version is more reliable. */
  etag?: string
}

/** @throws TransientError when it may succeed later; UserError when the file cannot be read, or not in parts. */
async function locate(
  start: URL,
  signal: AbortSignal,
  client: HttpClient,
  options: LocateOptions,
): Promise<LocatedFile> {
  const location = shownUrl(start)
  const headers = rangeHeaders(0, 1)
  const { response, url, hops } = await withIdleTimeout(location, signal, async (timeout) => {
    const request = { headers, token: options.token, signal: timeout.signal }
    const redirected = await requestFollowingRedirects(client, start, request)
    await discard(redirected.response)
    return redirected
  })
  checkStatus(location, response, options)
  requirePartialContent(location, response)
  const range = contentRangeOf(response)
  if (!range)
    throw new UserError(`${location} does not tell its size`, { hint: 'download the whole file, then pull from it' })
  // the hub's own hash of the content; its storages have tags of their own
  const linked = [...hops, response].map(({ headers }) => headers.get('x-linked-etag')).find((etag) => etag !== null)
  const etag = response.headers.get('etag')
  const version = linked ?? etag ?? response.headers.get('last-modified') ?? 'no tag'
  return { url, size: range.size, version, ...(linked === undefined && etag !== null && { etag }) }
}

const rangeHeaders = (start: number, end: number) => ({
  range: `bytes=${start}-${end - 1}`,
  'accept-encoding': 'identity', // ranges of compressed content cannot be used
})

/** The bytes that a 206 response declares, and the size of the whole file. */
function contentRangeOf({ headers }: Response) {
  const [, from, to, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? []
  return size === undefined ? undefined : { start: Number(from), end: Number(to) + 1, size: Number(size) }
}

/** @throws TransientError for what may succeed later; UserError for what will not. */
export function checkStatus(
  location: string,
  { ok, status, statusText, headers }: Response,
  { accessHint }: LocateOptions,
) {
  if (ok) return
  const answered = `${location} answered ${status} ${statusText}`.trimEnd()
  if (isTransientStatus(status)) throw new TransientError(answered, { retryAfter: retryAfterSeconds(headers) })
  if (status === 401 || status === 403)
    throw new UserError(`${location} may not be read (${status})`, { hint: accessHint(headers.get('x-error-code')) })
  if (status === 404 || status === 410)
    throw new NotFoundError(`${location} does not exist (${status})`, { hint: 'check it for typing errors' })
  if (status === 416)
    throw new UserError(`${location} is empty, or shorter than it was (416)`, {
      hint: 'check the file, and start again',
    })
  throw new UserError(answered, { hint: 'check that the URL leads to the file itself' })
}

/** @throws UserError for a web page, and for a server that sends the whole file when asked for a part. */
function requirePartialContent(location: string, response: Response) {
  if (isWebPage(response))
    throw new UserError(`${location} is a web page, not a file`, {
      hint: 'give the link of the file itself: on the hub, the one with /resolve/ in it',
    })
  if (response.status === 206) return
  throw new UserError(`${location} is on a server that sends only whole files`, {
    hint: 'download the whole file, then: ltx-a2a pull <the file>',
  })
}

function nameOf({ pathname }: URL): string {
  return decodedText(pathname.split('/').at(-1) ?? '').replace(/[/\\]/g, '-') || 'model.safetensors'
}

const brokenOff = (location: string, cause?: unknown) => new TransientError(`${location} broke off`, { cause })

const replacedError = (location: string) =>
  new UserError(`${location} was replaced by another file during the download`, {
    hint: 'run it again: it says what to delete to start over',
  })

const otherBytesError = (location: string) =>
  new UserError(`${location} is on a server that does not send the bytes that were requested`, {
    hint: 'download the whole file, then: ltx-a2a pull <the file>',
  })
