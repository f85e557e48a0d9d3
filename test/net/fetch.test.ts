import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { afterEach, expect, it } from 'vitest'
import { createFetch } from '../../src/net/fetch.ts'
import { chunksOf, createHttpClient, request } from '../../src/net/http-client.ts'

const closings: (() => void)[] = []
afterEach(() => {
  for (const close of closings.splice(0)) close()
})

/** A server that sends this to each connection that asks. */
async function serve(answer: (socket: Socket) => void): Promise<{ url: URL; sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {}).once('data', () => answer(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closings.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`), sockets }
}

const get = createFetch({ env: {} })
const options = { redirect: 'manual', signal: new AbortController().signal } as const

it.each([
  ['without a length', ''],
  ['with its length', 'content-length: 65536\r\n'],
])('content %s is read after the server has closed the connection', async (_, header) => {
  const { url } = await serve((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\n${header}\r\n`)
    socket.end(Buffer.alloc(65_536))
  })
  const response = await get(url, options)
  await setTimeout(100)
  expect((await response.arrayBuffer()).byteLength).toBe(65_536)
})

it('content that ends too early is an error', async () => {
  const { url } = await serve((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort'))
  await expect((await get(url, options)).text()).rejects.toThrow('terminated')
})

it('compressed content is decompressed', async () => {
  const content = gzipSync('a page')
  const { url } = await serve((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${content.length}\r\n\r\n`)
    socket.write(content)
  })
  expect(await (await get(url, options)).text()).toBe('a page')
})

it.each(['999 Nonsense', '200 O\u0000K', 'nonsense'])(
  'the status "%s" is a failure of the connection',
  async (status) => {
    const { url } = await serve((socket) => socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\n\r\n`))
    await expect(request(createHttpClient({ env: {} }), url, url, options)).rejects.toMatchObject({
      name: 'TransientError',
      message: expect.stringContaining(`${url.href} cannot be reached`),
    })
  },
)

it.each(['the server', 'the proxy'])('a connection is closed when it is stopped before %s answers', async (which) => {
  const { url, sockets } = await serve(() => {})
  const through = createFetch({ env: which === 'the proxy' ? { HTTP_PROXY: url.href } : {} })
  const controller = new AbortController()
  const answer = through(which === 'the proxy' ? new URL('http://far.invalid/') : url, {
    ...options,
    signal: controller.signal,
  })
  const failure = expect(answer).rejects.toThrow('fetch failed')
  while (sockets.length === 0) await setTimeout(5)
  const closed = once(sockets[0] as Socket, 'close')
  controller.abort()
  await Promise.all([failure, closed])
})

it('a read of content that does not come ends with the reason of the signal', async () => {
  const { url } = await serve((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc'))
  const controller = new AbortController()
  const chunks = chunksOf(await get(url, options), controller.signal)
  expect(Buffer.from((await chunks.next()).value as Uint8Array).toString()).toBe('abc')
  const next = expect(chunks.next()).rejects.toThrow('stopped')
  controller.abort(new Error('stopped'))
  await next
})

it('chunks that were read do not stay in memory', async () => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const body = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(2 ** 20)) })
  const chunks = chunksOf(new Response(body), options.signal)
  collect()
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 100; i++) await chunks.next()
  collect()
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 2 ** 20)
  await chunks.return(undefined)
})
