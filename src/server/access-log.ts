/** The log of HTTP requests, without what gives access: file ids, query strings and headers are left out. */
import type { Context, MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import type { Log } from '../platform/log.ts'
import type { Env } from './services.ts'

/** Every request is logged at the level `debug`, and what was uploaded or refused at a higher one. */
export function accessLog(log: Log): MiddlewareHandler<Env> {
  return async (c, next) => {
    const startedAt = performance.now()
    await next()
    const { method } = c.req
    const { status } = c.res
    const values = {
      ...{ method, path: shownPath(c), status },
      request: c.res.headers.get('x-fal-request-id') ?? undefined,
      address: c.env.incoming.socket.remoteAddress,
    }
    const tell = () => {
      const seconds = Math.round(performance.now() - startedAt) / 1000
      log('debug', 'http_request', `${method} ${values.path} ${status} ${seconds} s`, { ...values, seconds })
    }
    c.env.outgoing.once('close', tell) // the answer was sent, or the client is gone
    if (status === 401) log('warn', 'key_refused', `A wrong key or none from ${values.address}`, values)
    else if (isUpload(c) && status >= 400)
      log('warn', 'upload_refused', `An upload was refused with status ${status}`, values)
    else if (isUpload(c)) log('info', 'upload_completed', 'An upload was completed', values)
  }
}

/** Requests that make a file complete, not those that announce one or bring a part. */
const isUpload = (c: Context) =>
  ['POST', 'PUT'].includes(c.req.method) &&
  /^\/files\/upload(s\/[^/]+\/[^/]+(\/multipart\/[^/]+\/complete)?)?$/.test(c.req.path)

/** The pattern of the route. Of a path without one, only the beginning: what follows may be the URL of a file with a mistake. */
export function shownPath(c: Context): string {
  const route = matchedRoutes(c).find(({ path }) => path !== '/*' && path !== '*')
  return route?.path ?? `${c.req.path.split('/').slice(0, 2).join('/').slice(0, 40)} (unknown)`
}
