/** The pages with what they need of the rest of the server: uploads, files, and a route that takes trainings. */
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { trainParameters } from '../../../src/config/parameters.ts'
import type { PageFiles } from '../../../src/server/pages/page-files.ts'
import { createPages, type PagesOptions } from '../../../src/server/pages/pages.ts'
import { createSessions } from '../../../src/server/pages/sessions.ts'
import { removeRequest } from '../../../src/server/retention.ts'
import { type FakeQueue, fakeQueue } from './fake-queue.ts'

export type PageServer = {
  app: Hono
  queue: FakeQueue
  files: PageFiles
  /** Writes a file of the server. */
  put(key: string, content: Uint8Array | string): void
  remove(): void
}

export function pageServer(change: Partial<PagesOptions> & { key?: string } = {}): PageServer {
  const { key, ...options } = change
  const data = mkdtempSync(join(tmpdir(), 'ltx-a2a-pages-'))
  const folder = join(data, 'files')
  const queue = fakeQueue()
  const pathOf = (key: string) => join(folder, ...key.split('/'))
  const put = (key: string, content: Uint8Array | string) => {
    mkdirSync(dirname(pathOf(key)), { recursive: true })
    writeFileSync(pathOf(key), content)
  }
  const files: PageFiles = {
    folder,
    resolve: async (key) => (existsSync(pathOf(key)) ? pathOf(key) : undefined),
    urlOf: (key) => `/files/${key.split('/').map(encodeURIComponent).join('/')}`,
    keyOf: (url) => {
      const [, path] = /^http:\/\/[^/]+\/files\/(.+)$/.exec(url) ?? []
      return path === undefined ? undefined : decodeURIComponent(path)
    },
  }
  const app = new Hono()
  app.use(async (c, next) => {
    const { method } = c.req
    const origin = c.req.header('origin')
    if (method !== 'GET' && origin !== undefined && origin !== `http://${c.req.header('host')}`)
      return c.json({ detail: `Requests from ${origin} are not allowed` }, 403)
    await next()
    c.header('referrer-policy', 'no-referrer') // as the app does
  })
  app.post('/storage/upload/initiate', async (c) => {
    const { file_name } = await c.req.json()
    const url = `http://${c.req.header('host')}${files.urlOf(`uploads/${randomUUID()}/${file_name}`)}`
    return c.json({ upload_url: url, file_url: url })
  })
  const keyIn = (url: string) => files.keyOf(url) as string
  app.put('/files/*', async (c) => {
    put(keyIn(c.req.url), Buffer.from(await c.req.arrayBuffer()))
    return c.json({})
  })
  app.get('/files/*', (c) => {
    const path = pathOf(keyIn(c.req.url))
    if (!existsSync(path)) return c.notFound()
    return c.body(readFileSync(path), 200, { 'content-type': path.endsWith('.wav') ? 'audio/wav' : 'text/plain' })
  })
  app.post('/train', async (c) => {
    const input = await c.req.json()
    if (Number(input.rank) > 1024)
      return c.json({ detail: [{ loc: ['body', 'rank'], msg: 'Input should be less than or equal to 1024' }] }, 422)
    if (Number(input.alpha) > 1024) return c.json({ detail: [{ loc: ['body', 'alpha'], msg: 'Too large' }] }, 422)
    const { id } = await queue.submit({
      ...{ kind: 'train', endpoint: 'fal-ai/ltx23-trainer-v2/a2a', input, parameters: input, priority: 'normal' },
    })
    return c.json({ request_id: id })
  })
  const remove = (id: string) => removeRequest(queue, data, id)
  const pages = createPages({
    ...{ queue, files, remove, parameters: trainParameters, sessions: createSessions(key) },
    ...{ secondsUntilSignIn: () => 0, submitPath: '/train', uploadPath: '/storage/upload/initiate' },
    ...options,
  })
  app.route('/', pages)
  return { app, queue, files, put, remove: () => rmSync(data, { recursive: true, force: true }) }
}

/** @returns where it listens, and what ends it. */
export function listen({ app }: PageServer): Promise<{ url: string; close(): Promise<void> }> {
  return new Promise((resolve) => {
    const options = { fetch: app.fetch, port: 0, hostname: '127.0.0.1', overrideGlobalObjects: false }
    const server = serve(options, ({ port }) => {
      const close = () => new Promise<void>((done) => server.close(() => done()))
      resolve({ url: `http://127.0.0.1:${port}`, close })
    })
  })
}
