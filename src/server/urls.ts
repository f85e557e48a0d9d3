/** The URLs of this server. */
import type { Context } from 'hono'
import { clientUrl, type Guard } from '../net/guard.ts'
import { UserError } from '../platform/errors.ts'

/** Undefined for text that is not a URL. */
export const parsedUrl = (text: string): URL | undefined => (URL.canParse(text) ? new URL(text) : undefined)

export const isWebUrl = (text: string) => /^https?:$/.test(parsedUrl(text)?.protocol ?? '')

/** Where clients reach the server, without a slash at the end: the public URL, or as this client did. */
export const baseUrl = (c: Context, publicUrl: string | undefined) =>
  publicUrl?.replace(/\/+$/, '') ?? `http://${c.req.header('host')}`

/** All names by which a client may mean this server. @param port that it listens on. */
export const ownUrls = (c: Context, publicUrl: string | undefined, port: number) => [
  baseUrl(c, publicUrl),
  `http://${c.req.header('host')}`,
  ...['localhost', '127.0.0.1', '[::1]'].map((host) => `http://${host}:${port}`),
]

/** Why a URL of a client is not used; undefined where it is. Names are resolved, and their addresses checked, when it is used. */
export function urlRefusal(text: string, guard: Guard | undefined): string | undefined {
  try {
    clientUrl(text, guard)
    return undefined
  } catch (error) {
    if (error instanceof UserError) return error.message
    throw error
  }
}
