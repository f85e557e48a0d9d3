/** The files of the server over HTTP, with ranges. */
import type { ReadStream } from 'node:fs'
import type { Context } from 'hono'
import { HttpError } from './http-error.ts'
import { createRouter, type Env, type Services } from './services.ts'
import { keyOfPath, type OpenedFile, type StoredFile } from './stored-files.ts'

/** No key is asked for: the id in a file's URL is a random UUID, and is the permission to read it. Players and clients send no key for files. */
export function fileRoutes({ files }: Services, count: (bytes: number) => void) {
  const routes = createRouter()
  routes.get('/files/*', async (c) => {
    const key = keyOfPath(new URL(c.req.url).pathname)
    const file = key === undefined ? undefined : await files.open(key)
    if (!file) throw new HttpError(404, 'File not found')
    return sendFile(c, file, count)
  })
  return routes
}

/** Answers with a file, or the range of it that is asked for, and closes it. @param count gets how many bytes are sent. */
export async function sendFile(c: Context<Env>, file: OpenedFile, count: (bytes: number) => void) {
  const { handle, size, content } = file
  const close = (status: 200 | 206 | 304 | 416) => handle.close().then(() => c.body(null, status))
  const tag = setHeaders(c, file)
  if (isUnchanged(c, tag, file.modified)) return close(304)
  const range = rangeOf(c, tag, file)
  if (range === 'none') {
    c.header('content-range', `bytes */${size}`)
    return close(416)
  }
  const { start, end } = range ?? { start: 0, end: size - 1 }
  if (range) c.header('content-range', `bytes ${start}-${end}/${size}`)
  c.header('content-length', String(end - start + 1))
  const status = range ? 206 : 200
  if (c.req.method === 'HEAD' || size === 0) return close(status)
  count(end - start + 1)
  if (content) {
    await handle.close()
    return c.body(new Uint8Array(content.subarray(start, end + 1)), status)
  }
  const stream = handle.createReadStream({ start, end, highWaterMark: 2 ** 18 }) // closes the handle
  return c.body(webStream(stream), status)
}

/** @returns the entity tag. */
function setHeaders(c: Context<Env>, { name: storedName, type, size, modified }: StoredFile): string {
  const tag = `"${Math.floor(modified.getTime()).toString(36)}-${size.toString(36)}"`
  const name =
    c.req
      .query('as')
      ?.replace(/[\p{Cc}/\\]/gu, '_')
      .slice(0, 200) || storedName // for files of one name
  const ascii = name.replace(/[^\x20-\x7e]|["\\]/g, '_')
  c.header('content-type', type)
  c.header(
    'content-disposition',
    `inline; filename="${ascii}"; filename*=UTF-8''${encodeURIComponent(name).replaceAll("'", '%27')}`,
  )
  c.header('accept-ranges', 'bytes')
  c.header('etag', tag)
  c.header('last-modified', modified.toUTCString())
  c.header('cache-control', 'private, no-cache') // files of a run change
  // pages among the files, such as a report, run apart from the origin of the server, whoever wrote them
  c.header('content-security-policy', 'sandbox allow-scripts')
  return tag
}

function isUnchanged(c: Context, tag: string, modified: Date): boolean {
  const tags = c.req.header('if-none-match')
  if (tags !== undefined) return tags.split(',').some((one) => [tag, '*'].includes(one.trim().replace(/^W\//, '')))
  const since = Date.parse(c.req.header('if-modified-since') ?? '')
  return Math.floor(modified.getTime() / 1000) * 1000 <= since
}

/** @returns undefined for the whole file, also where several ranges are asked for; 'none' where nothing is there. */
function rangeOf(
  c: Context,
  tag: string,
  { size, modified }: StoredFile,
): { start: number; end: number } | 'none' | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(c.req.header('range')?.trim() ?? '') ?? []
  if (first === '' && last === '') return undefined
  const condition = c.req.header('if-range')
  if (condition !== undefined && condition !== tag && condition !== modified.toUTCString()) return undefined
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined
  return start > end ? 'none' : { start, end }
}

/** A file that becomes shorter while it is sent ends the connection. */
function webStream(stream: ReadStream): ReadableStream<Uint8Array> {
  const chunks: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]()
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: () => void stream.destroy(),
  })
}
