/** Signing in to the pages: the key is exchanged for a cookie that holds a token. The token is signed with the key, so that it outlives a restart of the server and no other key accepts it. */
import { createHmac } from 'node:crypto'
import type { Context } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { isEqual } from '../security.ts'

export type Sessions = {
  /** Whether a key is needed at all. */
  isNeeded: boolean
  /** Whether the request has the cookie of a session, or needs none. */
  isSignedIn(c: Context): boolean
  /** Sets the cookie. @returns false for a wrong key. */
  signIn(c: Context, key: string): boolean
  signOut(c: Context): void
}

const cookieName = 'ltx_a2a_session'
const sessionSeconds = 30 * 24 * 3600

/** @param key of the server; undefined where everybody may use it. */
export function createSessions(key: string | undefined, now: () => number = Date.now): Sessions {
  const sign = (expires: string) => createHmac('sha256', `page session ${key}`).update(expires).digest('base64url')
  const cookieOptions = (c: Context) =>
    ({ httpOnly: true, sameSite: 'Strict', path: '/', secure: isSecure(c) }) satisfies Parameters<typeof setCookie>[3]
  return {
    isNeeded: key !== undefined,
    isSignedIn: (c) => {
      if (key === undefined) return true
      const [expires = '', signature = ''] = (getCookie(c, cookieName) ?? '').split('.')
      return isEqual(signature, sign(expires)) && Number(expires) > now()
    },
    signIn: (c, given) => {
      if (key === undefined || !isEqual(given, key)) return false
      const expires = String(now() + 1000 * sessionSeconds)
      setCookie(c, cookieName, `${expires}.${sign(expires)}`, { ...cookieOptions(c), maxAge: sessionSeconds })
      return true
    },
    signOut: (c) => {
      deleteCookie(c, cookieName, cookieOptions(c))
    },
  }
}

/** A proxy that speaks TLS for the server says so. */
const isSecure = (c: Context) =>
  new URL(c.req.url).protocol === 'https:' || c.req.header('x-forwarded-proto') === 'https'
