/**
 * Uploads, as the two clients of the hosted API make them. The JavaScript client asks for a URL and sends the file to it, in parts above 90 MiB; the Python
 * client exchanges its key for a token and sends the file with it, in parts above 100 MiB.
 */
import type { Context } from 'hono'
import { z } from 'zod'
import { readBody, readJson } from './body.ts'
import { finding } from './findings.ts'
import { HttpError } from './http-error.ts'
import { createRouter, type Env, type Services } from './services.ts'
import { keyOfPath, urlOfKey } from './stored-files.ts'
import { mostParts } from './uploads.ts'
import { baseUrl } from './urls.ts'

export function uploadRoutes({ uploads, keys, limits, publicUrl }: Services) {
  const routes = createRouter()
  const urlOf = (c: Context, key: string) => urlOfKey(baseUrl(c, publicUrl), key)

  for (const prefix of ['', '/rest']) {
    routes.post(`${prefix}/storage/upload/initiate`, keys.require, async (c) => {
      const url = urlOf(c, await uploads.start(await announcedName(c)))
      return c.json({ upload_url: url, file_url: url })
    })
    routes.post(`${prefix}/storage/upload/initiate-multipart`, keys.require, async (c) => {
      const key = await uploads.start(await announcedName(c))
      const url = urlOf(c, key)
      return c.json({ upload_url: `${url}/multipart/${await uploads.startParts(key)}`, file_url: url })
    })
    routes.post(`${prefix}/storage/auth/token`, keys.require, (c) => {
      const { token, expires } = keys.uploadToken()
      const expiresAt = expires.toISOString().replace('Z', '+00:00') // older versions of Python do not read the Z
      return c.json({ token, token_type: 'Bearer', base_url: baseUrl(c, publicUrl), expires_at: expiresAt })
    })
  }

  routes.post('/files/upload', keys.requireForUpload, async (c) => {
    const key = await uploads.start(headerName(c))
    await uploads.write(key, body(c), bodyBytes(c))
    return c.json({ access_url: urlOf(c, key) })
  })
  routes.post('/files/upload/multipart', keys.requireForUpload, async (c) => {
    const key = await uploads.start(headerName(c))
    return c.json({ access_url: urlOf(c, key), uploadId: await uploads.startParts(key) })
  })

  // the id in these URLs, which only the client knows, is its permission to write: the JavaScript client sends no key here
  const parts = '/files/uploads/:folder/:name/multipart/:id'
  routes.put('/files/uploads/:folder/:name', async (c) => {
    await uploads.write(keyOf(c), body(c), bodyBytes(c))
    return c.json({})
  })
  routes.put(`${parts}/:part{[0-9]+}`, async (c) => {
    const part = Number(c.req.param('part'))
    if (part < 1 || part > mostParts) throw new HttpError(400, `Parts have numbers from 1 to ${mostParts}`)
    const etag = await uploads.writePart(keyOf(c), c.req.param('id'), part, body(c), bodyBytes(c))
    c.header('etag', etag)
    return c.json({ partNumber: part, etag })
  })
  routes.post(`${parts}/complete`, async (c) => {
    const given = partList.safeParse(await readJson(c, limits))
    if (!given.success)
      throw new HttpError(422, [
        finding(['body', 'parts'], 'value_error', 'Value error, parts must be a list of {partNumber}'),
      ])
    const key = keyOf(c)
    const numbers = given.data.parts.map(({ partNumber }) => partNumber).sort((a, b) => a - b)
    await uploads.join(key, c.req.param('id'), numbers)
    return c.json({ access_url: urlOf(c, key) })
  })
  return routes

  function body(c: Context) {
    const { uploadBytes: bytes, silenceSeconds, uploadSeconds: seconds } = limits
    return readBody(c, { bytes, silenceSeconds, seconds })
  }

  async function announcedName(c: Context<Env>): Promise<string> {
    const { data } = announcement.safeParse(await readJson(c, limits))
    return data?.file_name ?? ''
  }
}

const announcement = z.object({ file_name: z.string() })

const partList = z.object({ parts: z.array(z.object({ partNumber: z.int().min(1).max(mostParts) })).min(1) })

/** The key before `/multipart` in the path. */
function keyOf(c: Context<Env>): string {
  const { pathname } = new URL(c.req.url)
  const key = keyOfPath(pathname.replace(/\/multipart\/[^/]+\/[^/]+$/, ''))
  if (key === undefined) throw new HttpError(404, 'There is no such upload')
  return key
}

const headerName = (c: Context) => c.req.header('x-fal-file-name') ?? ''

const bodyBytes = (c: Context) => Number(c.req.header('content-length') ?? 0)
