/** HTTP requests: through the proxies that the environment names, and with redirects followed here, so that a login never leaves its own server. */
import { readFileSync, statSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import { UserError } from '../platform/errors.ts'
import { type Sleep, sleepSeconds, TransientError } from './retry.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export type HttpClient = {
  fetch: typeof fetch
  /** How the client waits before it retries. */
  sleep: Sleep
}

/**
 * @param env where HTTPS_PROXY, HTTP_PROXY and NO_PROXY are read.
 * @param certificates the path of a file of certificates to trust besides the usual ones.
 */
export const createHttpClient = async (
  env: Environment = process.env,
  sleep: Sleep = sleepSeconds,
  certificates?: string,
): Promise<HttpClient> => ({ fetch: await fetchThroughProxies(env, certificates), sleep })

export type RequestOptions = {
  headers?: Record<string, string>
  /** A bearer token for the server of the first URL. */
  token?: string | undefined
  signal: AbortSignal
}

/**
 * Requests a URL without following redirects. The login of `start`, or the token, is sent only to the server of `start`.
 * @throws TransientError when no response comes; the reason of the signal when it was aborted.
 */
export async function request(
  { fetch }: HttpClient,
  start: URL,
  url: URL,
  { headers = {}, token, signal }: RequestOptions,
): Promise<Response> {
  const authorization = url.origin === start.origin ? authorizationOf(start, token) : undefined
  const options = {
    headers: { ...headers, ...(authorization && { authorization }) },
    redirect: 'manual',
    signal,
  } as const
  return fetch(withoutLogin(url), options).catch((cause: Error) => {
    signal.throwIfAborted()
    const { code } = (cause.cause ?? {}) as NodeJS.ErrnoException
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

/**
 * The chunks of a body. Throws the reason of the signal as soon as it is aborted: a read that is pending then may never end on its own (Node 20's
 * fetch, when it has seen all bytes but not the end of the stream).
 */
export async function* chunksOf({ body }: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    if (signal.aborted) reject(signal.reason)
  })
  aborted.catch(() => {}) // it may be aborted when nothing waits any more
  const reader = body?.getReader()
  while (reader) {
    const { done, value } = await Promise.race([reader.read(), aborted])
    if (done) return
    yield value
  }
}

/** Cancels a body that will not be read. */
export const discard = (response: Response) => response.body?.cancel().catch(() => {})

function authorizationOf({ username, password }: URL, token: string | undefined): string | undefined {
  if (token !== undefined) return `Bearer ${token}`
  if (username === '') return undefined
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return `Basic ${Buffer.from(login).toString('base64')}`
}

function withoutLogin(url: URL): URL {
  const bare = new URL(url) // fetch refuses URLs that contain a login
  bare.username = ''
  bare.password = ''
  return bare
}

/**
 * A fetch that uses the proxies of the environment and trusts the given certificates: undici's, because Node's own does neither. Where there is nothing
 * of both, it is Node's own.
 */
export async function fetchThroughProxies(env: Environment, certificates?: string): Promise<typeof fetch> {
  const hasProxies = variable(env, 'HTTP_PROXY') || variable(env, 'HTTPS_PROXY')
  if (!hasProxies && certificates === undefined) return fetch
  const undici = await import('undici')
  const tls = certificates === undefined ? {} : { ca: trustedCertificates(certificates, env) }
  const direct = new undici.Agent({ connect: tls })
  const agents = new Map<string, InstanceType<typeof undici.ProxyAgent>>()
  const agentFor = (uri: string) => {
    const agent = agents.get(uri) ?? new undici.ProxyAgent({ uri, requestTls: tls, proxyTls: tls })
    agents.set(uri, agent)
    return agent
  }
  const proxied = (url: URL, init: object = {}) => {
    const proxy = proxyFor(url, env)
    return undici.fetch(url, { ...init, dispatcher: proxy === undefined ? direct : agentFor(proxy) })
  }
  return proxied as unknown as typeof fetch // the same interface, declared twice
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

/**
 * The proxy for a URL; undefined where there is none, or NO_PROXY excludes the URL.
 * @throws UserError when the variable does not hold a URL.
 */
export function proxyFor({ protocol, hostname, port }: URL, env: Environment): string | undefined {
  const name = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const proxy = variable(env, name)
  if (!proxy) return undefined
  const excluded = (variable(env, 'NO_PROXY') ?? '').split(/[\s,]+/).filter(Boolean)
  if (excluded.some((entry) => covers(entry, hostname, port))) return undefined
  if (URL.canParse(proxy) && /^https?:/.test(proxy)) return proxy
  throw new UserError(`${name} is not the URL of a proxy: ${proxy}`, { hint: 'write it as http://host:port' })
}

/** `*`, `host`, `.domain` or `*.domain`, each with or without `:port`. A domain includes its subdomains. */
function covers(entry: string, hostname: string, port: string): boolean {
  if (entry === '*') return true
  const [, domain = '', only] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? []
  return (hostname === domain || hostname.endsWith(`.${domain}`)) && (only === undefined || only === port)
}

/** The lower-case variable wins, as in other tools. */
const variable = (env: Environment, name: string) => env[name.toLowerCase()] || env[name]
