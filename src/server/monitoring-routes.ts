/** What those who run the server look at: whether it works, how much it does, and what it accepts. */
import { freeBytesAt } from '../machine/hardware.ts'
import { toolVersion } from '../platform/version.ts'
import type { Metrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { createRouter, type Services } from './services.ts'
import { baseUrl } from './urls.ts'

export function monitoringRoutes(services: Services, metrics: Metrics) {
  const { queue, files, limits, keys, publicUrl, jwks } = services
  const routes = createRouter()

  /** Without a key, for those who restart a server that does not answer: it says nothing else. */
  routes.get('/health', async (c) => {
    try {
      await queue.counts()
      const isFull = freeBytesAt(files.folder) < limits.freeBytesForWork // which a restart does not change
      return c.json({ status: isFull ? 'the disk is full: requests wait' : 'ok', version: toolVersion })
    } catch {
      return c.json({ status: 'the queue does not answer', version: toolVersion }, 503)
    }
  })

  routes.get('/metrics', keys.require, async (c) => {
    c.header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
    return c.body(await metrics.text(services))
  })

  /** With it, receivers of webhooks check their signatures. */
  routes.get('/.well-known/jwks.json', (c) => c.json(jwks))

  routes.get('/openapi.json', (c) => c.json(openApi(baseUrl(c, publicUrl))))
  return routes
}
