/** Who may ask what: the key, and what protects a server on one's own machine from the web pages that its owner visits. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { Context, MiddlewareHandler } from 'hono'
import { UserError } from '../platform/errors.ts'
import { HttpError } from './http-error.ts'
import { parsedUrl } from './urls.ts'

/** Whether only programs on this machine can reach a server that listens there. */
export const isLoopback = (host: string) =>
  /^(.+\.)?localhost\.?$/i.test(host) || (isIP(host) === 4 && host.startsWith('127.')) || host === '::1'

/** @throws UserError for a server that others can reach and that has no key. */
export function requireKeyFor(host: string, key: string | undefined) {
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key))
    throw new UserError('the key is not a word of ASCII characters', { hint: 'choose another --key' })
  if (key === undefined && !isLoopback(host))
    throw new UserError(`without a key, everyone who reaches ${host} could use the server`, {
      hint: 'give it a --key, or use --host 127.0.0.1',
    })
}

/**
 * Refuses names that the server does not have. A page of another site can give its own name the address of this machine, and would then be of the same
 * origin as the server. Addresses cannot be taken over like this.
 */
export function checkHost({ host, publicUrl }: { host: string; publicUrl?: string | undefined }): MiddlewareHandler {
  const known = [host, ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname])].map((name) =>
    name.toLowerCase(),
  )
  return async (c, next) => {
    const name = hostName(c)
    if (!isLoopback(name) && !isIP(name) && !known.includes(name))
      throw new HttpError(403, `The server is not known as ${name}: start it with --public-url`, {
        type: 'unknown_host',
      })
    await next()
  }
}

/** The name in the header `Host`, without the port and the brackets of an address. */
const hostName = (c: Context) => (parsedUrl(`http://${c.req.header('host')}`)?.hostname ?? '').replace(/^\[|\]$/g, '')

/** Refuses what pages of other sites make a browser send. Programs send no `Origin`. */
export function checkOrigin({ publicUrl }: { publicUrl?: string | undefined }): MiddlewareHandler {
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).host
  return async (c, next) => {
    const origin = c.req.header('origin')
    const isSame = () => {
      const host = parsedUrl(origin ?? '')?.host
      return host !== undefined && host !== '' && (host === c.req.header('host')?.toLowerCase() || host === publicHost)
    }
    if (!['GET', 'HEAD'].includes(c.req.method) && origin !== undefined && !isSame())
      throw new HttpError(403, `Requests from ${origin.slice(0, 100)} are not allowed`, { type: 'foreign_origin' })
    await next()
  }
}

export type Keys = {
  /** Answers 401 to those without the key. Without one, everybody may pass. */
  require: MiddlewareHandler
  /** A permission to upload, for clients that exchange their key for one first. */
  uploadToken(): { token: string; expires: Date }
  /** As `require`, and an upload token passes as well. */
  requireForUpload: MiddlewareHandler
}

const tokenSeconds = 3600

/** Keys that may be tried from one address. */
export const keyAttempts: Rate = Object.freeze({ atOnce: 10, perMinute: 10 })

/**
 * Tokens are signed with the key, so that they outlive a restart of the server.
 * @param secondsUntilNext counts wrong keys of the address that the request is from.
 * @param isSignedIn whether a browser is signed in to the pages, whose scripts submit and upload, too.
 */
export function createKeys(
  key: string | undefined,
  secondsUntilNext: (c: Context, passing?: 0 | 1) => number,
  isSignedIn: (c: Context) => boolean = () => false,
): Keys {
  const sign = (expires: string) => createHmac('sha256', `upload token ${key}`).update(expires).digest('base64url')
  const isKey = (c: Context) => key === undefined || isEqual(credentials(c, 'key'), key) || isSignedIn(c)
  const isToken = (c: Context) => {
    const [expires = '', signature = ''] = credentials(c, 'bearer').split('.')
    return isEqual(signature, sign(expires)) && Number(expires) > Date.now()
  }
  const refuseUnless =
    (allowed: (c: Context) => boolean): MiddlewareHandler =>
    async (c, next) => {
      const isTried = key !== undefined && c.req.header('authorization') !== undefined
      const seconds = isTried ? secondsUntilNext(c, 0) : 0
      if (seconds > 0) throw tooManyKeys(seconds) // before the key is looked at: the right one could be guessed otherwise
      if (!allowed(c)) {
        if (isTried) secondsUntilNext(c)
        throw new HttpError(401, 'invalid key credentials')
      }
      await next()
    }
  return {
    require: refuseUnless(isKey),
    requireForUpload: refuseUnless((c) => isKey(c) || isToken(c)),
    uploadToken: () => {
      const expires = Date.now() + 1000 * tokenSeconds
      return { token: `${expires}.${sign(String(expires))}`, expires: new Date(expires) }
    },
  }
}

/** Not 429, which clients repeat at once. */
const tooManyKeys = (seconds: number) =>
  new HttpError(503, `Too many wrong keys from this address: try again in ${seconds} s`, {
    type: 'rate_limited',
    headers: { 'retry-after': String(seconds) },
  })

/** What follows the scheme in the header `Authorization`. */
function credentials(c: Context, scheme: string): string {
  const [, given = '', value = ''] = /^(\S+) +(\S+) *$/.exec(c.req.header('authorization') ?? '') ?? []
  return given.toLowerCase() === scheme ? value : ''
}

/** In a time that says nothing about where the texts differ. */
export const isEqual = (a: string, b: string) => timingSafeEqual(digest(a), digest(b))

const digest = (text: string) => createHash('sha256').update(text).digest()

export type Rate = { atOnce: number; perMinute: number }

/**
 * Lets so many through at once, and so many more each minute.
 * @returns seconds until the next one may pass; 0 where this one may. It takes 0 to ask without passing.
 */
export function createRateLimit(limit: Rate, now: () => number = Date.now) {
  let [left, at] = [limit.atOnce, now()]
  return (passing: 0 | 1 = 1) => {
    const time = now()
    left = Math.min(limit.atOnce, left + ((time - at) / 60_000) * limit.perMinute)
    at = time
    if (left < 1) return Math.ceil(((1 - left) / limit.perMinute) * 60)
    left -= passing
    return 0
  }
}
