import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { arrivedBytes, downloadChecked } from '../../src/net/checked-download.ts'
import { needs } from '../needs.ts'
import { type Interceptor, type RangeServer, serveRanges, textFile } from './range-server.ts'

const content = Buffer.alloc(3_000_000, 'a wheel, ')
const sha256 = createHash('sha256').update(content).digest('hex')

let server: RangeServer
let path = ''
beforeAll(async () => {
  server = await serveRanges({ 'x.whl': textFile(content) })
})
afterAll(() => server.close())
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-checked-')), 'folder', 'x.whl')
  server.requests = []
  server.sent = 0
  delete server.intercept
})

async function download(
  options: { sha256?: string; bytes?: number; signal?: AbortSignal; onBytes?: (done: number) => void } = {},
) {
  let done = 0
  const onBytes = (bytes: number) => {
    done += bytes
    options.onBytes?.(done)
  }
  const file = { url: new URL(server.url('x.whl')), path, sha256: options.sha256 ?? sha256, bytes: options.bytes }
  const signal = options.signal ?? new AbortController().signal
  await downloadChecked(file, { client: { fetch, sleep: async () => {} }, signal, onBytes })
  return done
}

/** Sends the first bytes and closes the connection, for the first `times` requests. */
const breakOff =
  (times: number, bytes = 1_000_000): Interceptor =>
  ({ headers }, response, _count) => {
    if (times-- <= 0) return false
    const [, from = '0'] = /^bytes=(\d+)-$/.exec(headers.range ?? '') ?? []
    const start = Number(from)
    const range = { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` }
    response.writeHead(headers.range ? 206 : 200, {
      'content-length': content.length - start,
      ...(headers.range && range),
    })
    response.write(content.subarray(start, start + bytes), () => response.destroy())
    return true
  }

describe('a file with a SHA-256', () => {
  it('is downloaded again if it was changed since', async () => {
    await download()
    writeFileSync(path, content.subarray(0, 1000))
    expect(await download()).toBe(content.length)
    expect(readFileSync(path).equals(content)).toBe(true)
  })

  it('is downloaded, and found the next time', async () => {
    expect(await download()).toBe(content.length)
    expect(readFileSync(path).equals(content)).toBe(true)
    expect(existsSync(`${path}.partial`)).toBe(false)
    expect(await download()).toBe(content.length)
    expect(server.sent).toBe(content.length)
  })

  it('continues where a connection broke off', async () => {
    server.intercept = breakOff(2)
    expect(await download()).toBe(content.length)
    expect(readFileSync(path).equals(content)).toBe(true)
    expect(server.requests.map(({ start }) => start).at(-1)).toBeGreaterThan(0)
    expect(server.sent).toBeLessThan(content.length)
  })

  it.each([
    ['does not tell the size', (start: number) => `bytes ${start}-${content.length - 1}/*`, 1],
    ['sends other bytes than requested', (start: number) => `bytes ${start + 1}-${content.length - 1}/*`, 2],
    ['does not tell which bytes it sends', () => 'bytes', 2],
  ])('continues on a server that %s, or starts again', async (_, contentRange, requests) => {
    const brokenOff = breakOff(1)
    let count = 0
    server.intercept = (request, response, number) => {
      if (brokenOff(request, response, number)) return true
      count++
      const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
      if (from === undefined) return false
      const rest = content.subarray(Number(from))
      response.writeHead(206, { 'content-range': contentRange(Number(from)), 'content-length': rest.length }).end(rest)
      return true
    }
    expect(await download()).toBe(content.length)
    expect(readFileSync(path).equals(content)).toBe(true)
    expect(count).toBe(requests)
  })

  it('continues where content without a length ended too early, if its size is known', async () => {
    let count = 0
    server.intercept = (_, response) => {
      if (count++ > 0) return false
      response.writeHead(200, { connection: 'close' }).end(content.subarray(0, 1_000_000))
      return true
    }
    expect(await download({ bytes: content.length })).toBe(content.length)
    expect(server.requests).toMatchObject([{ start: 1_000_000 }])
  })

  it('continues with what an earlier process left, and counts it', async () => {
    const controller = new AbortController()
    server.pause = 20
    const onBytes = (done: number) => done > 0 && controller.abort(new Error('stopped'))
    await expect(download({ signal: controller.signal, onBytes })).rejects.toThrow('stopped')
    server.pause = 0
    const arrived = arrivedBytes(path)
    expect(arrived).toBeGreaterThan(0)
    expect(arrived).toBeLessThan(content.length)
    expect(await download()).toBe(content.length)
    expect(server.requests).toMatchObject([{ start: arrived }])
    expect(readFileSync(path).equals(content)).toBe(true)
  })

  it('starts again on a server that sends only whole files', async () => {
    server.intercept = breakOff(1)
    const whole = server.intercept
    server.intercept = (request, response, count) => {
      if (whole(request, response, count)) return true
      delete request.headers.range
      response.writeHead(200, { 'content-length': content.length }).end(content)
      return true
    }
    expect(await download()).toBe(content.length)
    expect(readFileSync(path).equals(content)).toBe(true)
  })

  it('is complete when all had arrived before it was renamed', async () => {
    await download()
    const partial = join(path, '..', 'y.whl')
    writeFileSync(`${partial}.partial`, content)
    path = partial
    expect(await download()).toBe(content.length)
    expect(existsSync(partial)).toBe(true)
  })

  it.each([
    ['has other bytes', Buffer.alloc(1000, 'x')],
    ['is too long', Buffer.concat([content, content])],
  ])('is downloaded again when what had arrived %s', async (_, earlier) => {
    mkdirSync(join(path, '..'))
    writeFileSync(`${path}.partial`, Buffer.from(earlier))
    expect(await download({ bytes: content.length })).toBe(content.length)
    expect(readFileSync(path).equals(content)).toBe(true)
  })
})

describe('an error of one sentence comes from', () => {
  const answers = (answer: (response: ServerResponse) => void) => {
    server.intercept = (_, response) => {
      answer(response)
      return true
    }
  }

  it('a file with another SHA-256, which is removed', async () => {
    await expect(download({ sha256: 'ab' })).rejects.toThrow(`${server.url('x.whl')} does not have the SHA-256`)
    expect([existsSync(path), existsSync(`${path}.partial`)]).toEqual([false, false])
  })

  it.each([
    ['that says so', { 'content-length': content.length }],
    ['that never ends', {}],
  ])('a file that is larger than listed, from a server %s', async (_, headers) => {
    let sent = 0
    answers((response) => {
      response.writeHead(200, headers)
      const send = () => response.write(content.subarray(0, 10_000), (error) => error ?? (sent++ < 300 && send()))
      send()
    })
    await expect(download({ bytes: 1000 })).rejects.toThrow(
      `${server.url('x.whl')} is larger than the 1000 bytes that the index lists`,
    )
    expect([existsSync(path), existsSync(`${path}.partial`)]).toEqual([false, false])
  })

  it('a web page', async () => {
    answers((response) => response.setHeader('content-type', 'text/html').end('<html>'))
    await expect(download()).rejects.toThrow('is a web page, not a file')
  })

  it.each([
    [403, 'may not be read (403)'],
    [404, 'does not exist (404)'],
  ])('the status %d', async (status, message) => {
    answers((response) => response.writeHead(status).end())
    await expect(download()).rejects.toMatchObject({ name: 'UserError', message: expect.stringContaining(message) })
  })

  it('a server that always breaks off at the same byte', async () => {
    let requests = 0
    answers((response) => {
      requests++
      response.writeHead(200, { 'content-length': content.length })
      response.write(content.subarray(0, 1000), () => response.destroy())
    })
    await expect(download()).rejects.toThrow('broke off, 6 times in a row')
    expect(requests).toBeLessThan(10)
  })

  it.skipIf(!existsSync('/dev/full'))('a full disk', needs('/dev/full'), async () => {
    mkdirSync(join(path, '..'))
    symlinkSync('/dev/full', `${path}.partial`)
    await expect(download()).rejects.toMatchObject({
      name: 'UserError',
      message: `${path}.partial cannot be written: the disk is full`,
      hint: expect.stringContaining('it continues where it stopped'),
    })
  })
})
