/** The server: the app on a port. */
import { mkdir } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { UserError } from '../platform/errors.ts'
import { type AppOptions, createApp } from './app.ts'
import { defaultServerLimits } from './limits.ts'

export type ServerOptions = Omit<AppOptions, 'closing'> & {
  /** 0 for any that is free. */
  port: number
}

export type RunningServer = {
  /** Where clients reach it. */
  url: string
  port: number
  /** Takes no more connections, ends the answers that wait, and after a second those that are still being sent. */
  close(): Promise<void>
}

/** Uploads that were begun before and not finished are removed at the start. In milliseconds. */
const unfinishedAge = 24 * 3600 * 1000

/** Longer than proxies keep theirs, 60 s: what they send on one that has just been closed is lost. In milliseconds. */
const keepAlive = 75_000

/** @throws UserError for a port that cannot be used, and as `createApp` does. */
export async function startServer({ port, ...options }: ServerOptions): Promise<RunningServer> {
  const closing = new AbortController()
  const { app, services } = createApp({ ...options, closing: closing.signal })
  await mkdir(join(options.data, 'files'), { recursive: true })
  await services.uploads.removeUnfinished(new Date(Date.now() - unfinishedAge))
  const { headerSeconds } = { ...defaultServerLimits, ...options.limits }
  const server = createServer(
    {
      headersTimeout: 1000 * headerSeconds,
      keepAliveTimeout: keepAlive,
      requestTimeout: 0, // large uploads take as long as they take; what stalls is ended where the body is read
      connectionsCheckingInterval: Math.min(30_000, 500 * headerSeconds),
    },
    getRequestListener(app.fetch, { overrideGlobalObjects: false }),
  )
  const listening = await listen(server, port, options.host)
  const name = isIPv6(options.host) ? `[${options.host}]` : options.host
  return {
    url: options.publicUrl ?? `http://${name}:${listening}`,
    port: listening,
    close: () => close(server, closing),
  }
}

/** @returns the port. */
async function listen(server: Server, port: number, host: string): Promise<number> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, resolve)
    })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const why: Readonly<Record<string, string>> = {
      EADDRINUSE: `port ${port} is in use`,
      EACCES: `port ${port} may not be used`,
      EADDRNOTAVAIL: `${host} is not an address of this machine`,
      ENOTFOUND: `${host} has no address`,
    }
    const message = why[code ?? '']
    if (message === undefined) throw cause
    throw new UserError(message, { hint: 'choose another --port or --host', cause })
  }
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

/** In milliseconds. */
const patience = 1000

async function close(server: Server, closing: AbortController) {
  closing.abort()
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const idle = setInterval(() => server.closeIdleConnections(), 20) // those whose answer ends now are kept alive otherwise
  const timer = setTimeout(() => server.closeAllConnections(), patience)
  await closed
  clearInterval(idle)
  clearTimeout(timer)
}
