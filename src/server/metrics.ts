/** The figures of the server for Prometheus. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { MiddlewareHandler } from 'hono'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { freeBytesAt } from '../machine/hardware.ts'
import { toolVersion } from '../platform/version.ts'
import { shownPath } from './access-log.ts'
import type { Env, Services } from './services.ts'

export type Metrics = {
  /** Measures every HTTP request until its answer is sent. */
  measure: MiddlewareHandler<Env>
  countSent(bytes: number): void
  /** In the text format of Prometheus. */
  text(services: Pick<Services, 'queue' | 'uploads' | 'files'>): Promise<string>
}

/** @param closing ends the measurement of the event loop. */
export function createMetrics(closing: AbortSignal): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const started = Date.now()
  const loop = monitorEventLoopDelay({ resolution: 20 })
  loop.enable()
  closing.addEventListener('abort', () => loop.disable(), { once: true })
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `ltx_a2a_${name}`, help, labelNames, registers })
  const counter = (name: string, help: string) => new Counter({ name: `ltx_a2a_${name}`, help, registers })
  const requests = gauge('requests', 'Requests that the queue holds, by their state', ['state'])
  const longestWait = gauge('longest_wait_seconds', 'Since the oldest of the waiting requests was submitted')
  const busyWorkers = gauge('busy_workers', 'Workers that have a request')
  const workedSeconds = gauge('worked_seconds', 'What workers have spent on the requests that the queue holds')
  const uptime = gauge('uptime_seconds', 'Seconds since the start of the server')
  const received = counter('received_bytes_total', 'Bytes of uploads since the start')
  const sent = counter('sent_bytes_total', 'Bytes of files that were asked for since the start')
  const free = gauge('disk_free_bytes', 'Free bytes on the disk of the files')
  const memory = gauge('resident_memory_bytes', 'Memory of the process of the server')
  const lag = gauge('event_loop_lag_seconds', 'The longest delay of the event loop since these figures were read last')
  gauge('build_info', 'The version', ['version']).set({ version: toolVersion }, 1)
  const http = new Histogram({
    name: 'ltx_a2a_http_request_duration_seconds',
    help: 'HTTP requests until their answers were sent',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600],
    registers,
  })
  return {
    measure: async (c, next) => {
      const startedAt = performance.now()
      await next()
      const labels = { method: c.req.method, route: shownRoute(shownPath(c)), status: c.res.status }
      c.env.outgoing.once('close', () => http.observe(labels, (performance.now() - startedAt) / 1000))
    },
    countSent: (bytes) => sent.inc(bytes),
    text: async ({ queue, uploads, files }) => {
      for (const [state, count] of Object.entries(await queue.counts())) requests.set({ state }, count)
      const activity = await queue.activity()
      longestWait.set(activity.longestWaitSeconds)
      busyWorkers.set(activity.busyWorkers)
      workedSeconds.set(activity.workedSeconds)
      uptime.set((Date.now() - started) / 1000)
      received.reset()
      received.inc(uploads.receivedBytes())
      free.set(freeBytesAt(files.folder))
      memory.set(process.memoryUsage.rss())
      lag.set(Math.max(0, loop.max) / 1e9)
      loop.reset()
      return registry.metrics()
    },
  }
}

/** Paths without a route are one label: clients could make any number of them. */
const shownRoute = (path: string) => (path.endsWith(' (unknown)') ? 'unknown' : path)
