/** The pages of the server as routes: the form of the trainer, the history, the page of each request, and the playground. */
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { stream } from 'hono/streaming'
import type { Parameters } from '../../config/parameter.ts'
import { Interrupted, UserError } from '../../platform/errors.ts'
import type { Queue } from '../../queue/queue.ts'
import type { QueuedRequest } from '../../queue/request.ts'
import { html } from '../../report/page/page.ts'
import { readBody } from '../body.ts'
import { bundledGuidance } from './fields.ts'
import { createInspector, type InspectionControl } from './inspection.ts'
import { assets, contentSecurityPolicy, documentOf, type PageParts } from './layout.ts'
import { createMetricsReader } from './metrics-file.ts'
import type { PageFiles } from './page-files.ts'
import { loraOf, playForm, playRequest } from './play-page.ts'
import { deletionForm, metricsPath, requestContent, requestLead, requestParts, viewOf } from './request-page.ts'
import { isActive, requestTitle } from './request-text.ts'
import { requestList } from './requests-page.ts'
import type { Sessions } from './sessions.ts'
import { inspectedParameters, trainForm } from './train-page.ts'

export type PagesOptions = {
  queue: Queue
  files: PageFiles
  /** Removes a completed request with its files. */
  remove: (id: string) => Promise<unknown>
  /** The parameters of a training that clients may give. */
  parameters: Parameters
  sessions: Sessions
  /** Counts an attempt to sign in. @returns seconds until it may be made; 0 where it may. */
  secondsUntilSignIn: (c: Context) => number
  /** Where trainings are submitted: `/fal-ai/ltx23-trainer-v2/a2a`. */
  submitPath: string
  /** Where uploads begin: `/storage/upload/initiate`. */
  uploadPath: string
  allowLocalPaths?: boolean
  /** Gets the errors that are the server's fault. */
  onError?: ((error: unknown) => void) | undefined
  /** The path below which the server is seen through a proxy, without a slash at its end. */
  root?: string
}

const perPage = 25

/** The requests that are searched for LoRAs. */
const mostSearched = 300

/** The last lines of a log that a page has. */
const mostLines = 500

const largestBody = 1_000_000

const mostLinesOfALog = 1_000_000_000

/** Of the form to sign in, which everybody may send. */
const formLimits = { bytes: 10_000, silenceSeconds: 30, seconds: 60 }

async function readForm(c: Context): Promise<URLSearchParams> {
  const chunks: Uint8Array[] = []
  for await (const chunk of readBody(c, formLimits)) chunks.push(chunk)
  return new URLSearchParams(Buffer.concat(chunks).toString())
}

export function createPages(options: PagesOptions): Hono {
  const { queue, files, parameters, sessions, allowLocalPaths = false, root = '' } = options
  const inspect = createInspector(parameters)
  const metrics = createMetricsReader()
  const pages = new Hono()
  const show = (c: Context, parts: PageParts, status: 200 | 401 | 404 | 429 = 200) => {
    c.header('content-security-policy', contentSecurityPolicy)
    c.header('cache-control', 'no-store')
    c.header('x-content-type-options', 'nosniff')
    return c.html(documentOf(root, { canSignOut: sessions.isNeeded && sessions.isSignedIn(c), ...parts }), status)
  }
  const notFound = (c: Context) =>
    show(
      c,
      {
        title: 'Not found',
        content: html`<p>There is no such request. <a href="${root}/requests">All requests</a></p>`,
      },
      404,
    )

  for (const { name, type, text, version } of Object.values(assets))
    pages.get(`/assets/${name}`, (c) => {
      const isVersion = c.req.query('v') === version
      c.header('cache-control', isVersion ? 'public, max-age=31536000, immutable' : 'no-cache')
      return c.body(text, 200, { 'content-type': type })
    })

  pages.get('/login', (c) => signInPage(c, 200))
  pages.post('/login', async (c) => {
    const form = await readForm(c)
    const [key, to] = [form.get('key') ?? '', form.get('to') ?? '']
    const wait = options.secondsUntilSignIn(c)
    if (wait > 0) return signInPage(c, 429, `Too many attempts: try again in ${wait} s.`)
    if (!sessions.signIn(c, key)) return signInPage(c, 401, 'This is not the key.')
    return c.redirect(root + localPath(to), 303)
  })
  pages.post('/logout', (c) => {
    sessions.signOut(c)
    return c.redirect(`${root}/login`, 303)
  })

  for (const path of ['/', '/inspect', '/requests', '/requests/*', '/play'])
    pages.use(path, async (c, next) => {
      if (sessions.isSignedIn(c)) return next()
      const { pathname, search } = new URL(c.req.url)
      const isPage = c.req.method === 'GET' && !pathname.endsWith('.json')
      if (!isPage) return c.json({ detail: 'invalid key credentials' }, 401)
      return c.redirect(`${root}/login?to=${encodeURIComponent(pathname + search)}`, 303)
    })

  pages.get('/', async (c) => {
    const from = await find(c.req.query('from'))
    const content = trainForm({
      parameters,
      values: from?.kind === 'train' ? from.input : allowLocalPaths ? {} : bundledGuidance,
      submitUrl: root + options.submitPath,
      inspectUrl: `${root}/inspect`,
      uploadUrl: root + options.uploadPath,
      requestsUrl: `${root}/requests`,
      allowLocalPaths,
    })
    const lead = 'From a zip of recording pairs: name_start is the sound as it is, name_end as it should become.'
    return show(c, { title: 'Train a LoRA', lead, current: '/', content })
  })

  /** Answers with lines of JSON: the progress, and at the end the result. */
  pages.post('/inspect', limited(), async (c) => {
    const input = await jsonObject(c)
    const { training_data_url: place, ...settings } = pick(input, inspectedParameters)
    const path = await datasetPath(place)
    if (path === undefined)
      return c.json({ detail: 'only uploaded datasets are inspected here; others when the training starts' }, 422)
    c.header('content-type', 'application/x-ndjson')
    return stream(
      c,
      async (lines) => {
        const closed = new AbortController()
        lines.onAbort(() => closed.abort())
        const send = (value: unknown) => lines.write(`${JSON.stringify(value)}\n`)
        const signal = AbortSignal.any([closed.signal, c.req.raw.signal])
        await send(await inspected(path, settings, { signal, onProgress: (done, total) => void send({ done, total }) }))
      },
      async (error, lines) => {
        options.onError?.(error)
        await lines.write(`${JSON.stringify({ detail: 'Internal server error' })}\n`)
      },
    )
  })

  pages.get('/requests', async (c) => {
    const before = (await find(c.req.query('before')))?.id
    const found = await queue.list({ limit: perPage + 1, before })
    const shown = found.slice(0, perPage)
    const next = found.length > perPage ? shown.at(-1)?.id : undefined
    const content = requestList(root, shown, { next, isFirst: before === undefined })
    return show(c, { title: 'Requests', current: '/requests', content })
  })
  pages.get('/requests/:id', async (c) => {
    const request = await find(c.req.param('id'))
    if (!request) return notFound(c)
    const view = await look(request)
    const lines = await queue.logs(request.id)
    const content = requestContent(root, requestParts(root, files, view), view, {
      lines: lines.slice(-mostLines),
      count: lines.length,
    })
    const title = requestTitle(request) || request.id
    return show(c, { title, lead: requestLead(request), current: '/requests', isBelow: true, content })
  })
  pages.get('/requests/:id/state.json', async (c) => {
    const request = await find(c.req.param('id'))
    if (!request) return c.json({ detail: 'There is no such request' }, 404)
    const from = Math.min(Math.max(0, Math.floor(Number(c.req.query('from')) || 0)), mostLinesOfALog)
    const lines = await queue.logs(request.id, from) // before the parts, so that the last poll has all of them
    const parts = requestParts(root, files, await look(request))
    return c.json({
      status: request.status,
      isActive: isActive(request),
      parts: Object.fromEntries(Object.entries(parts).map(([name, { markup }]) => [name, markup])),
      lines: lines.map(({ level, timestamp, message }) => ({ level, timestamp, message })),
      count: from + lines.length,
    })
  })
  pages.get('/requests/:id/job.json', async (c) => {
    const request = await find(c.req.param('id'))
    if (!request) return c.json({ detail: 'There is no such request' }, 404)
    c.header('content-disposition', `attachment; filename="job-${request.id.slice(0, 8)}.json"`)
    return c.body(`${JSON.stringify(request.input, null, 2)}\n`, 200, { 'content-type': 'application/json' })
  })
  pages.post('/requests/:id/cancel', async (c) => {
    const request = await find(c.req.param('id'))
    if (!request) return notFound(c)
    await queue.cancel(request.id)
    return c.redirect(`${root}/requests/${request.id}#status`, 303)
  })
  pages.post('/requests/:id/resume', async (c) => {
    const request = await find(c.req.param('id'))
    if (!request) return notFound(c)
    await queue.resume(request.id)
    return c.redirect(`${root}/requests/${request.id}#status`, 303)
  })

  pages.get('/requests/:id/delete', async (c) => {
    const request = await find(c.req.param('id'))
    if (!request) return notFound(c)
    return show(c, {
      title: 'Delete this request?',
      current: '/requests',
      isBelow: true,
      content: deletionForm(root, request),
    })
  })
  pages.post('/requests/:id/delete', async (c) => {
    const request = await find(c.req.param('id'))
    if (!request) return notFound(c)
    await options.remove(request.id)
    return c.redirect(isActive(request) ? `${root}/requests/${request.id}` : `${root}/requests`, 303)
  })

  pages.get('/play', async (c) => {
    const requests = await queue.list({ limit: mostSearched })
    const content = playForm({
      root,
      uploadUrl: root + options.uploadPath,
      trainings: requests.filter((request) => loraOf(files, request) !== undefined),
      chosen: c.req.query('lora'),
      recent: requests.filter(({ kind }) => kind === 'apply').slice(0, 10),
    })
    return show(c, {
      title: 'Playground',
      lead: 'Hear what a trained LoRA makes of a recording.',
      current: '/play',
      content,
    })
  })
  pages.post('/play', limited(), async (c) => {
    const input = await jsonObject(c)
    const training = await find(input.lora)
    const loraKey = training && loraOf(files, training)
    const lora = training && loraKey !== undefined ? { training, key: loraKey } : undefined
    const recording = typeof input.inputs === 'string' ? files.keyOf(input.inputs) : undefined
    const isThere = recording !== undefined && (await files.resolve(recording)) !== undefined
    const request = playRequest(input, lora, isThere ? recording : undefined)
    if (Array.isArray(request)) return c.json({ detail: request }, 422)
    return c.json({ request_id: (await queue.submit(request)).id })
  })
  return pages

  /** The last line of the answer: what was found, or why nothing was. */
  async function inspected(path: string, settings: Record<string, unknown>, control: InspectionControl) {
    try {
      const { summary, markup, isUsable } = await inspect(path, settings, control)
      return { summary, html: markup.markup, isUsable }
    } catch (error) {
      if (error instanceof Interrupted) return { detail: 'the inspection took too long' }
      if (!(error instanceof UserError)) throw error
      const detail = [error.message, error.hint].filter(Boolean).join(': ')
      return { detail, isUsable: error.code === undefined || error.code === 'machine_error' }
    }
  }

  async function find(id: unknown): Promise<QueuedRequest | undefined> {
    return typeof id === 'string' ? queue.get(id) : undefined
  }

  async function look(request: QueuedRequest) {
    const position = request.status === 'IN_QUEUE' ? await queue.position(request.id) : 0
    const steps = request.kind === 'train' ? metrics.read(metricsPath(files, request.id)) : []
    return viewOf(files, request, position, steps)
  }

  /** @returns the path of an uploaded dataset, or of one on this machine where that is allowed. */
  async function datasetPath(place: unknown): Promise<string | undefined> {
    if (typeof place !== 'string') return undefined
    const key = files.keyOf(place)
    if (key !== undefined) return files.resolve(key)
    return allowLocalPaths && !/^[a-z][a-z\d+.-]+:/i.test(place) ? place : undefined
  }

  function signInPage(c: Context, status: 200 | 401 | 429, problem?: string) {
    const to = localPath(c.req.query('to'))
    const content = html`<form method="post" action="${root}/login?to=${encodeURIComponent(to)}" class="narrow"><input type="hidden" name="to" value="${to}"><div class="field"><label for="key">Key of the server</label><input type="password" id="key" name="key" required autocomplete="current-password" aria-describedby="key-error"${problem !== undefined && html` aria-invalid="true"`}><p class="error" id="key-error" role="alert">${problem}</p></div><p><button class="primary">Sign in</button></p></form>`
    return show(c, { title: 'Sign in', content }, status)
  }
}

const limited = () => bodyLimit({ maxSize: largestBody })

/** Where to go after signing in: a path of this server, whatever the URL says. */
function localPath(to: unknown): string {
  return typeof to === 'string' && /^\/(?![/\\])[^\\\p{Cc}]*$/u.test(to) ? to : '/'
}

async function jsonObject(c: Context): Promise<Record<string, unknown>> {
  const input: unknown = await c.req.json().catch(() => undefined)
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? (input as Record<string, unknown>) : {}
}

const pick = (values: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([name]) => names.includes(name)))
