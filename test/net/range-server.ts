/** A local server that supports range requests, records the requests, and lets tests intercept them. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type ServedFile = { size: number; bytes(start: number, end: number): Uint8Array; etag?: string }

export const textFile = (text: string | Uint8Array, etag = '"text"'): ServedFile => {
  const content = Buffer.from(text)
  return { size: content.length, bytes: (start, end) => content.subarray(start, end), etag }
}

export type RangeRequest = { path: string; start: number; end: number; headers: IncomingMessage['headers'] }

/** Responds in place of the server. @returns whether it did. */
export type Interceptor = (request: IncomingMessage, response: ServerResponse, count: number) => boolean

export type RangeServer = {
  url(path: string): string
  /** The served files by path; can be changed at any time. */
  files: Map<string, ServedFile>
  requests: RangeRequest[]
  /** The body bytes sent in all responses. */
  sent: number
  intercept?: Interceptor
  /** Milliseconds between the chunks of a response. */
  pause: number
  close(): Promise<void>
}

const chunkBytes = 256 * 1024

export async function serveRanges(files: Record<string, ServedFile> = {}): Promise<RangeServer> {
  let count = 0
  const http = createServer((request, response) => {
    const path = decodeURI(new URL(request.url ?? '/', 'http://localhost').pathname).slice(1)
    const [, from, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const to = last === '' ? (server.files.get(path)?.size ?? 1) - 1 : last // without a number: to the end
    if (from !== undefined)
      server.requests.push({ path, start: Number(from), end: Number(to) + 1, headers: request.headers })
    if (server.intercept?.(request, response, count++)) return
    const file = server.files.get(path)
    if (!file) return void response.writeHead(404).end()
    if (Number(from) >= file.size)
      return void response.writeHead(416, { 'content-range': `bytes */${file.size}` }).end()
    const [start, end] = from === undefined ? [0, file.size] : [Number(from), Math.min(Number(to) + 1, file.size)]
    response.writeHead(from === undefined ? 200 : 206, {
      'content-length': end - start,
      ...(from !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${file.size}` }),
      ...(file.etag && { etag: file.etag }),
    })
    void send(file, start, end, response)
  })
  const send = async (file: ServedFile, start: number, end: number, response: ServerResponse) => {
    const closed = once(response, 'close')
    for (let at = start; at < end && !response.destroyed; at += chunkBytes) {
      const bytes = file.bytes(at, Math.min(at + chunkBytes, end))
      server.sent += bytes.length
      if (!response.write(bytes)) await Promise.race([once(response, 'drain'), closed])
      if (server.pause > 0) await new Promise((resolve) => setTimeout(resolve, server.pause))
    }
    response.end()
  }
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo
  const server: RangeServer = {
    url: (path) => `http://127.0.0.1:${port}/${path}`,
    files: new Map(Object.entries(files)),
    requests: [],
    sent: 0,
    pause: 0,
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve())
        http.closeAllConnections()
      }),
  }
  return server
}
