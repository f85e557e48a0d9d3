/**
 * HTTP on Node's `http` and `https`, through proxies and with own certificates. Node's `fetch` does neither. In several versions, as in undici 6.29, it also
 * ends the process when a server closes a connection whose data has not been read yet: an assertion fails outside of any promise (nodejs/undici#5360).
 */
import { readFileSync, statSync } from 'node:fs'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { pipeline, type Readable } from 'node:stream'
import { rootCertificates } from 'node:tls'
import { createBrotliDecompress, createGunzip } from 'node:zlib'
import { UserError } from '../platform/errors.ts'
import { type Guard, guardedLookup, requireAllowedLiteral, requireAllowedName } from './guard.ts'
import { type Environment, proxyFor } from './proxies.ts'
import { TunnelAgent } from './tunnel.ts'

export type FetchSettings = {
  /** Where HTTPS_PROXY, HTTP_PROXY and NO_PROXY are read. */
  env?: Environment
  /** The proxy where the environment names none. */
  proxy?: string | undefined
  /** The path of a file of certificates to trust besides the usual ones. */
  certificates?: string | undefined
  /** Which addresses may be reached; by default all. */
  guard?: Guard | undefined
}

export type FetchOptions = {
  /** By default GET. */
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE' | undefined
  headers?: Record<string, string>
  /** A stream is destroyed when the request fails. */
  body?: string | Readable | undefined
  /** Redirects are returned. */
  redirect: 'manual'
  signal: AbortSignal
}

/**
 * The part of `fetch` that is used here. Rejects with a TypeError whose cause is the failure of the connection, or with the UserError of the guard where
 * the address is not allowed.
 */
export type Fetch = (url: URL, options: FetchOptions) => Promise<Response>

/** @throws UserError when the certificates cannot be read. */
export function createFetch({ env = process.env, proxy, certificates, guard }: FetchSettings): Fetch {
  const settings = {
    keepAlive: true,
    ...(certificates !== undefined && { ca: trustedCertificates(certificates, env) }),
  }
  const direct = { ...settings, ...(guard && { lookup: guardedLookup(guard) }) }
  const [http, https] = [new HttpAgent(direct), new HttpsAgent(direct)]
  const tunnels = new Map<string, HttpAgent>()
  const tunnelThrough = (proxy: URL) => {
    const tunnel = tunnels.get(proxy.href) ?? new TunnelAgent(proxy, settings)
    tunnels.set(proxy.href, tunnel)
    return tunnel
  }
  return async (url, { method = 'GET', headers, body, signal }) => {
    const through = proxyFor(url, env, proxy)
    if (guard) requireAllowedLiteral(guard, url)
    if (guard && through) await requireAllowedName(guard, url, signal)
    const isSecure = url.protocol === 'https:'
    const agent = through ? tunnelThrough(through) : isSecure ? https : http
    const accepted = { 'accept-encoding': 'gzip, br', ...headers }
    const options = { method, headers: accepted, agent, signal, stop: signal, ...settings }
    return new Promise((resolve, reject) => {
      const send = isSecure ? httpsRequest : httpRequest
      const request = send(url, options, (message) => {
        try {
          resolve(responseOf(message))
        } catch (error) {
          request.destroy(error as Error)
        }
      })
      const fail = (cause: Error) =>
        reject(cause instanceof UserError ? cause : new TypeError('fetch failed', { cause }))
      request.on('error', fail)
      if (typeof body === 'object') pipeline(body, request, (error) => error && request.destroy(error))
      else request.end(body)
    })
  }
}

/** @throws TypeError or RangeError when the server answers with a status that does not exist. */
function responseOf(message: IncomingMessage): Response {
  const { statusCode: status = 0, statusMessage: statusText = '', rawHeaders } = message
  const headers = new Headers()
  for (let i = 0; i < rawHeaders.length; i += 2) headers.append(rawHeaders[i] as string, rawHeaders[i + 1] as string)
  const hasBody = ![204, 205, 304].includes(status)
  const response = new Response(hasBody ? bodyOf(message) : null, { status, statusText, headers })
  if (!hasBody) message.on('error', () => {}).resume()
  return response
}

/** The content, decoded. */
function bodyOf(message: IncomingMessage): ReadableStream<Uint8Array> {
  const encoding = message.headers['content-encoding']?.toLowerCase() ?? ''
  const decoder = /^(x-)?gzip$/.test(encoding)
    ? createGunzip()
    : encoding === 'br'
      ? createBrotliDecompress()
      : undefined
  const content: Readable = decoder ? pipeline(message, decoder, () => {}) : message
  content.on('error', () => {}) // those who read the body get it
  const chunks: AsyncIterator<Uint8Array> = content[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await chunks.next().catch((cause) => {
          throw new TypeError('terminated', { cause })
        })
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: () => void content.destroy(),
    },
    { highWaterMark: 0 },
  )
}

/** All certificates that are trusted: a list that is given to a connection replaces the usual ones. */
function trustedCertificates(path: string, env: Environment): string[] {
  try {
    const extra = env.NODE_EXTRA_CA_CERTS ? [readFileSync(env.NODE_EXTRA_CA_CERTS, 'utf8')] : []
    return [...rootCertificates, ...extra, ...(statSync(path).isDirectory() ? [] : [readFileSync(path, 'utf8')])]
  } catch (cause) {
    throw new UserError(`the certificates ${path} cannot be read`, {
      hint: 'check the path and the permissions',
      cause,
    })
  }
}
