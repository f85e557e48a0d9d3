/** What those who run the server look at: whether it works, how much it does, and what it accepts. */
import { freeBytesAt } from '../machine/hardware.ts'
import { toolVersion } from '../platform/version.ts'
import { openApi } from './openapi.ts'
import { createRouter, type Services } from './services.ts'
import { baseUrl } from './urls.ts'

/** @param sentBytes of files, since the start of the server. */
export function monitoringRoutes({ queue, files, uploads, keys, publicUrl, jwks }: Services, sentBytes: () => number) {
  const started = Date.now()
  const routes = createRouter()

  /** Without a key, for those who restart a server that does not answer: it says nothing else. */
  routes.get('/health', async (c) => {
    try {
      await queue.counts()
      return c.json({ status: 'ok', version: toolVersion })
    } catch {
      return c.json({ status: 'the queue does not answer', version: toolVersion }, 503)
    }
  })

  routes.get('/metrics', keys.require, async (c) => {
    const states = Object.entries(await queue.counts()).map(([state, count]) => `{state="${state}"} ${count}`)
    const metrics = [
      metric('requests', 'gauge', 'Requests in the queue, by their state', states),
      metric('uptime_seconds', 'gauge', 'Seconds since the start of the server', [` ${(Date.now() - started) / 1000}`]),
      metric('received_bytes_total', 'counter', 'Bytes of uploads', [` ${uploads.receivedBytes()}`]),
      metric('sent_bytes_total', 'counter', 'Bytes of files that were asked for', [` ${sentBytes()}`]),
      metric('disk_free_bytes', 'gauge', 'Free bytes on the disk of the files', [` ${freeBytesAt(files.folder)}`]),
    ]
    c.header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
    return c.body(metrics.join(''))
  })

  /** With it, receivers of webhooks check their signatures. */
  routes.get('/.well-known/jwks.json', (c) => c.json(jwks))

  routes.get('/openapi.json', (c) => c.json(openApi(baseUrl(c, publicUrl))))
  return routes
}

/** In the text format of Prometheus. */
const metric = (name: string, type: string, help: string, samples: readonly string[]) =>
  [
    `# HELP ltx_a2a_${name} ${help}`,
    `# TYPE ltx_a2a_${name} ${type}`,
    ...samples.map((sample) => `ltx_a2a_${name}${sample}`),
    '',
  ].join('\n')
