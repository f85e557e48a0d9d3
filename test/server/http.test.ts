/** What the server refuses, its files, and what is looked at by those who run it. */
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { toolVersion } from '../../src/platform/version.ts'
import { createApp } from '../../src/server/app.ts'
import { defaultServerLimits } from '../../src/server/limits.ts'
import { createRateLimit } from '../../src/server/security.ts'
import { startServer } from '../../src/server/server.ts'
import { fileNameOf } from '../../src/server/uploads.ts'
import { createFakeQueue } from './fake-queue.ts'
import { endpoint, serve } from './test-server.ts'

const input = { training_data_url: 'https://example.com/pairs.zip' }

describe('access', () => {
  it('to every route needs the key, but for files, their uploads, signing in, health and descriptions', async () => {
    const { url, data } = await serve({ key: 'secret' })
    const { app } = createApp({ queue: createFakeQueue(), data, host: '127.0.0.1', key: 'secret' })
    const open: string[] = []
    for (const { method, path } of app.routes.filter(({ method }) => method !== 'ALL')) {
      const id = '00000000-0000-4000-8000-000000000000'
      const at = path
        .replace(':part{[0-9]+}', '1')
        .replace(/:(folder|id)/g, id)
        .replace(/:name|\*/, 'name')
      const { status, headers } = await fetch(url + at, { method, redirect: 'manual' })
      const isSignIn = status === 303 && headers.get('location')?.startsWith('/login')
      if (status !== 401 && !isSignIn) open.push(`${method} ${path}`)
    }
    expect([...new Set(open)].sort()).toEqual([
      'GET /.well-known/jwks.json',
      'GET /assets/icon.svg',
      'GET /assets/page.css',
      'GET /assets/page.js',
      'GET /files/*',
      'GET /health',
      'GET /login',
      'GET /openapi.json',
      'POST /files/uploads/:folder/:name/multipart/:id/complete',
      'PUT /files/uploads/:folder/:name',
      'PUT /files/uploads/:folder/:name/multipart/:id/:part{[0-9]+}',
    ])
  })

  it.each(['', 'Key', 'Key x', 'Bearer secret', 'Key secret x', 'secret', 'Bearer 1.x'])(
    'is refused for %j',
    async (authorization) => {
      const { url } = await serve({ key: 'secret' })
      const response = await fetch(`${url}/files/upload`, { method: 'POST', headers: { authorization } })
      expect([response.status, await response.json()]).toEqual([401, { detail: 'invalid key credentials' }])
    },
  )

  it('to uploads is given by a token, until it expires', async () => {
    const { fetch: fetchWithKey, url } = await serve({ key: 'secret' })
    const issued = await (await fetchWithKey('/rest/storage/auth/token', { method: 'POST' })).json()
    expect(issued).toMatchObject({ token_type: 'Bearer', base_url: url, expires_at: expect.stringMatching(/\+00:00$/) })
    const { token } = issued as { token: string }
    const status = async (path: string, authorization: string) =>
      (await fetch(url + path, { method: 'POST', body: 'x', headers: { authorization } })).status
    expect(await status('/files/upload', `Bearer ${token}`)).toBe(200)
    expect(await status(`/${endpoint}`, `Bearer ${token}`)).toBe(401)
    expect(await status('/files/upload', `Bearer 9${token}`)).toBe(401)
  })

  it('from other machines needs a key', async () => {
    const options = { queue: createFakeQueue(), data: '/nowhere', port: 0 }
    for (const host of ['0.0.0.0', '::', '192.168.1.2', 'example.com'])
      await expect(startServer({ ...options, host })).rejects.toThrow(`everyone who reaches ${host}`)
    await expect(startServer({ ...options, host: '127.0.0.1', key: 'a b' })).rejects.toThrow('the key is not a word')
    await expect(startServer({ ...options, host: '127.0.0.1', publicUrl: 'x' })).rejects.toThrow(
      'x is not an http(s) URL',
    )
  })

  it.each([
    ['evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['localhost.evil.example:80', 403],
    ['@', 403],
    ['localhost:1', 200],
    ['queue.localhost', 200],
    ['192.168.1.2:7880', 200],
    ['[::1]:7880', 200],
    ['Train.Example.com', 200],
  ])('by the name %s is answered with %d', async (host, status) => {
    const { raw } = await serve({ publicUrl: 'https://train.example.com' })
    expect((await raw('/openapi.json', { headers: { host } })).status).toBe(
      status === 403 && host === '@' ? 400 : status,
    )
  })

  it.each([
    ['http://evil.example', 403],
    ['null', 403],
    ['http://localhost:1', 403],
    ['https://train.example.com', 200],
    ['same', 200],
  ])('by a page of %s is answered with %d', async (origin, status) => {
    const { post, port } = await serve({ publicUrl: 'https://train.example.com' })
    const from = origin === 'same' ? `http://127.0.0.1:${port}` : origin
    expect((await post(`/${endpoint}`, input, { origin: from })).status).toBe(status)
  })

  it('is deleted with its files when it is completed', async () => {
    const { queue, data, post, fetch: send } = await serve()
    const { request_id: id } = (await (await post(`/${endpoint}`, input)).json()) as { request_id: string }
    const path = `/${endpoint}/requests/${id}`
    const remove = async () => (await send(path, { method: 'DELETE' })).status
    expect(await remove()).toBe(400)
    const run = join(data, 'files', 'runs', id)
    mkdirSync(run, { recursive: true })
    queue.finish(id, { output: {} })
    expect([await remove(), existsSync(run), await remove()]).toEqual([204, false, 404])
  })

  it('is bounded in its rate, with an answer that clients do not hammer', async () => {
    const { post, queue } = await serve({ limits: { submissions: { atOnce: 2, perMinute: 1 } } })
    const answers = [
      await post(`/${endpoint}`, input),
      await post(`/${endpoint}`, input),
      await post(`/${endpoint}`, input),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 503])
    expect(answers[2]?.headers.get('retry-after')).toBe('60')
    expect(queue.requests.size).toBe(2)
  })

  it('is let through again as time passes', () => {
    let now = 0
    const wait = createRateLimit({ atOnce: 2, perMinute: 60 }, () => now)
    expect([wait(), wait(), wait()]).toEqual([0, 0, 1])
    now = 1000
    expect([wait(), wait()]).toEqual([0, 1])
  })
})

describe('a body', () => {
  it('of JSON that is too large is refused', async () => {
    const { post } = await serve()
    const response = await post(`/${endpoint}`, { ...input, trigger_phrase: 'x'.repeat(1_000_000) })
    expect(response.status).toBe(413)
  })

  it('of JSON that is nested deeply is refused', async () => {
    const { fetch, errors } = await serve()
    const deep = `{"trigger_phrase":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    const response = await fetch(`/${endpoint}`, { method: 'POST', body: deep })
    expect([response.status, await response.json()]).toMatchObject([422, { detail: [{ type: 'json_invalid' }] }])
    expect(errors).toEqual([])
  })

  it('that stalls ends the request', async () => {
    const { port } = await serve({ limits: { silenceSeconds: 0.1 } })
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      let text = ''
      socket
        .on('data', (data) => (text += data))
        .on('close', () => resolve(text))
        .on('error', reject)
      socket.write(`POST /${endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{`)
    })
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('of an upload that is too large, also without its length, leaves nothing of it', async () => {
    const { fetch, data } = await serve({ limits: { uploadBytes: 10 } })
    const stream = new ReadableStream({
      start: (controller) => {
        for (let i = 0; i < 2; i++) controller.enqueue(new Uint8Array(8))
        controller.close()
      },
    })
    const init = { method: 'POST', body: stream, duplex: 'half' } as RequestInit
    expect((await fetch('/files/upload', init)).status).toBe(413)
    expect((await fetch('/files/upload', { method: 'POST', body: 'x'.repeat(11) })).status).toBe(413)
    for (const id of readdirSync(join(data, 'files', 'uploads')))
      expect(readdirSync(join(data, 'files', 'uploads', id))).toEqual(['.name']) // what was announced
  })

  it('for which the disk has no room is refused', async () => {
    const { fetch } = await serve({ limits: { freeBytes: 2 ** 60 } })
    expect((await fetch('/files/upload', { method: 'POST', body: 'x' })).status).toBe(507)
  })
})

describe('a file', () => {
  it('is uploaded once', async () => {
    const { fetch } = await serve()
    const init = { method: 'POST', body: JSON.stringify({ file_name: 'a.txt' }) }
    const { upload_url } = (await (await fetch('/storage/upload/initiate', init)).json()) as { upload_url: string }
    const path = new URL(upload_url).pathname
    expect((await fetch(path)).status).toBe(404)
    expect((await fetch(path, { method: 'PUT', body: 'first' })).status).toBe(200)
    expect((await fetch(path, { method: 'PUT', body: 'second' })).status).toBe(400)
    expect(await (await fetch(path)).text()).toBe('first')
    const beside = path.replace(/a\.txt$/, 'b.txt')
    expect((await fetch(beside, { method: 'PUT', body: 'more' })).status).toBe(404) // the URL is not a permission to add files
    expect((await fetch(beside)).status).toBe(404)
    expect(
      (await fetch('/files/uploads/00000000-0000-4000-8000-000000000000/a', { method: 'PUT', body: '' })).status,
    ).toBe(404)
  })

  it('in parts needs all of them, within the limit', async () => {
    const { fetch } = await serve({ limits: { uploadBytes: 10 } })
    const headers = { 'x-fal-file-name': 'a.bin' }
    const started = await (await fetch('/files/upload/multipart', { method: 'POST', headers })).json()
    const { access_url, uploadId } = started as { access_url: string; uploadId: string }
    const path = new URL(access_url).pathname
    const put = (part: number, body: string) => fetch(`${path}/multipart/${uploadId}/${part}`, { method: 'PUT', body })
    const complete = (parts: unknown) =>
      fetch(`${path}/multipart/${uploadId}/complete`, { method: 'POST', body: JSON.stringify({ parts }) })
    const first = await put(2, 'world')
    expect(first.headers.get('etag')).toMatch(/^"[0-9a-f]{64}"$/)
    expect((await complete([{ partNumber: 1 }, { partNumber: 2 }])).status).toBe(400)
    expect((await complete([])).status).toBe(422)
    expect((await put(1, 'too long')).status).toBe(413)
    await put(1, 'wrong')
    await put(1, 'hello')
    expect((await complete([{ partNumber: 1 }, { partNumber: 1 }, { partNumber: 2 }])).status).toBe(400)
    const both = await Promise.all([1, 2].map(() => complete([{ partNumber: 2 }, { partNumber: 1 }])))
    expect(both.map(({ status }) => status).sort()).toEqual([200, 400])
    expect(await (await fetch(path)).text()).toBe('helloworld')
  })

  it('may be called anything: what is too long of its name is left out', async () => {
    const { fetch } = await serve()
    for (const file_name of [`a${'.'.repeat(400_000)}x`, 'é'.repeat(100_000)]) {
      const response = await fetch('/storage/upload/initiate', { method: 'POST', body: JSON.stringify({ file_name }) })
      const { file_url } = (await response.json()) as { file_url: string }
      const { pathname } = new URL(file_url)
      expect(decodeURIComponent(pathname).length).toBeLessThan(300)
      expect((await fetch(pathname, { method: 'PUT', body: 'x' })).status).toBe(200)
    }
    const { pathname } = new URL(await (await serve()).upload('x'))
    expect((await fetch(pathname.replace(/[^/]+$/, 'a'.repeat(300)), { method: 'PUT', body: 'x' })).status).toBe(404)
  })

  it.each([
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-2', 206, '89', 'bytes 8-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
    ['bytes=10-', 416, '', 'bytes */10'],
    ['bytes=-0', 416, '', 'bytes */10'],
    ['bytes=3-1', 200, '0123456789', null],
    ['bytes=0-1,4-5', 200, '0123456789', null],
    ['lines=0-1', 200, '0123456789', null],
  ])('answers the range %s with %d', async (range, status, text, contentRange) => {
    const { upload, fetch } = await serve()
    const { pathname } = new URL(await upload('0123456789', 'a.wav'))
    const response = await fetch(pathname, { headers: { range } })
    expect([response.status, await response.text(), response.headers.get('content-range')]).toEqual([
      status,
      text,
      contentRange,
    ])
  })

  it('says what it is, and whether it changed; pages run apart from the server', async () => {
    const { upload, fetch } = await serve()
    const { pathname } = new URL(await upload('<script></script>', 'report "1".html'))
    const head = await fetch(pathname, { method: 'HEAD' })
    expect(Object.fromEntries(head.headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-length': '17',
      'content-security-policy': 'sandbox allow-scripts',
      'content-disposition': expect.stringContaining("filename*=UTF-8''report%20_1_.html"),
      'x-content-type-options': 'nosniff',
    })
    const tag = head.headers.get('etag') ?? ''
    const modified = head.headers.get('last-modified') ?? ''
    expect((await fetch(pathname, { headers: { 'if-none-match': tag } })).status).toBe(304)
    expect((await fetch(pathname, { headers: { 'if-modified-since': modified } })).status).toBe(304)
    const outdated = { range: 'bytes=0-1', 'if-range': '"old"' }
    expect((await fetch(pathname, { headers: outdated })).status).toBe(200)
  })

  it('outside the folder, or hidden in it, cannot be reached', async () => {
    const { raw, data } = await serve()
    const run = 'runs/00000000-0000-4000-8000-000000000000'
    const folder = join(data, 'files', run)
    mkdirSync(join(folder, 'sub'), { recursive: true })
    writeFileSync(join(data, 'key.json'), 'secret')
    writeFileSync(join(folder, '.hidden'), 'secret')
    writeFileSync(join(folder, 'sub', 'there.txt'), 'there')
    symlinkSync(join(data, 'key.json'), join(folder, 'link.json'))
    symlinkSync(data, join(folder, 'out'))
    expect(await raw(`/files/${run}/sub/there.txt`)).toMatchObject({ status: 200, text: 'there' })
    const up = [
      '../../../key.json',
      '..%2f..%2f..%2fkey.json',
      '%2e%2e/%2e%2e/%2e%2e/key.json',
      '..\\..\\..\\key.json',
      '%5c..%5ckey.json',
    ]
    for (const path of [
      ...up,
      'link.json',
      'out/key.json',
      '.hidden',
      'sub',
      '',
      '%00',
      '%zz',
      '/key.json',
      'sub//there.txt',
    ])
      expect([path, (await raw(`/files/${run}/${path}`)).status]).toEqual([path, path.startsWith('..\\') ? 400 : 404])
    for (const path of ['/files', '/files/', '/files/key.json', '/files/../key.json'])
      expect([path, (await raw(path)).status]).toEqual([path, 404])
  })

  it.each([
    ['../../etc/passwd', 'passwd'],
    ['C:\\x\\a.wav', 'a.wav'],
    ['.htaccess', 'htaccess'],
    ['..', 'upload.bin'],
    ['', 'upload.bin'],
    ['a\0b\n.zip', 'a_b_.zip'],
    [`${'ü'.repeat(300)}.zip`, `${'ü'.repeat(100)}.zip`],
  ])('that a client calls %j gets a name of this machine', (name, expected) => expect(fileNameOf(name)).toBe(expected))
})

describe('those who run the server', () => {
  it('see that it works, and how much it does', async () => {
    const { fetch, post, upload } = await serve()
    await post(`/${endpoint}`, input)
    await fetch(new URL(await upload('12345')).pathname)
    expect(await (await fetch('/health')).json()).toMatchObject({ status: 'ok' })
    const cancelled = (await (await post(`/${endpoint}`, input)).json()) as { request_id: string }
    await fetch(`/${endpoint}/requests/${cancelled.request_id}/cancel`, { method: 'PUT' })
    await fetch('/no-such-page')
    const text = await (await fetch('/metrics')).text()
    expect(text).toContain('ltx_a2a_requests{state="cancelled"} 1\n')
    expect(text).toContain('ltx_a2a_requests{state="failed"} 0\n')
    for (const line of ['longest_wait_seconds 12.5', 'busy_workers 2', 'worked_seconds 90'])
      expect(text).toContain(`ltx_a2a_${line}\n`)
    expect(text).toContain(
      `ltx_a2a_http_request_duration_seconds_count{method="POST",route="/${endpoint}",status="200"} 2\n`,
    )
    expect(text).toMatch(/_count{method="GET",route="unknown",status="404"} 1\n/)
    expect(text).toMatch(/^ltx_a2a_build_info{version="[^"]+"} 1$/m)
    expect(text).toMatch(/^ltx_a2a_resident_memory_bytes \d{7,}$/m)
    expect(text).toContain('ltx_a2a_requests{state="waiting"} 1\n')
    expect(text).toContain('ltx_a2a_received_bytes_total 5\n')
    expect(text).toContain('ltx_a2a_sent_bytes_total 5\n')
    for (const line of text.split('\n').filter((line) => line !== ''))
      expect(line).toMatch(/^(# (HELP|TYPE) .+|[a-z\d_]+({([a-z]+="[^"]*",?)+})? [\d.e-]+)$/)
  })

  it('see that its disk is full, which a restart does not change', async () => {
    const limits = { ...defaultServerLimits, freeBytesForWork: Number.POSITIVE_INFINITY }
    const answer = await (await serve({ limits })).fetch('/health')
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { status: 'the disk is full: requests wait', version: toolVersion },
    ])
  })

  it('see when it does not, and clients get no details', async () => {
    const { fetch, post, queue, errors } = await serve()
    queue.break()
    expect((await fetch('/health')).status).toBe(503)
    const response = await post(`/${endpoint}`, input)
    expect([response.status, await response.json()]).toEqual([
      500,
      { detail: 'Internal server error', error_type: 'internal_server_error' },
    ])
    expect(errors.map(String)).toEqual([expect.stringContaining('secret.example')])
  })

  it('get a description of the input', async () => {
    const { fetch } = await serve()
    const api = JSON.parse(await (await fetch('/openapi.json')).text())
    const { properties, required } = api.components.schemas.TrainingInput
    expect(required).toEqual(['training_data_url'])
    expect(properties.rank).toMatchObject({ type: 'integer', minimum: 1, maximum: 1024, default: 32 })
    expect(properties).not.toHaveProperty('out')
    expect(Object.keys(api.paths)).toEqual(expect.arrayContaining(['/health', '/metrics', '/.well-known/jwks.json']))
  })

  it('stop it while answers wait, and requests go on', async () => {
    const { post, fetch, close, queue } = await serve()
    const { request_id } = (await (await post(`/${endpoint}`, input)).json()) as { request_id: string }
    const stream = await fetch(`/fal-ai/ltx23-trainer-v2/requests/${request_id}/status/stream`)
    const running = post(`/run/${endpoint}`, input)
    while (queue.requests.size < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    await close()
    expect(await stream.text()).toMatch(/^data: .*IN_QUEUE.*\n\n$/)
    expect((await running).status).toBe(500)
    expect([...queue.requests.values()].map(({ cancelRequested }) => cancelRequested)).toEqual([false, false])
  })

  it('stop it while a submission arrives, which is to be sent again', async () => {
    const { port, close, queue } = await serve()
    const body = JSON.stringify(input)
    const answer = new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      let text = ''
      socket
        .on('data', (data) => {
          text += data
          if (!text.startsWith('HTTP/1.1 100')) return
          text = ''
          void close()
          socket.write(body)
        })
        .on('close', () => resolve(text))
        .on('error', reject)
      const head = ['Host: localhost', `Content-Length: ${body.length}`, 'Expect: 100-continue']
      socket.write(`POST /${endpoint} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`)
    })
    expect(await answer).toMatch(/^HTTP\/1\.1 503 [\s\S]*retry-after: 10\r\n[\s\S]*"error_type":"server_stopped"/i)
    expect(queue.requests.size).toBe(0)
  })

  it('have a queue that cannot be reached: clients are told to try again', async () => {
    const queue = createFakeQueue()
    queue.get = async () => {
      throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' })
    }
    const { fetch, errors } = await serve({ queue })
    const response = await fetch('/fal-ai/ltx23-trainer-v2/requests/0d7f5f1e-5e0b-4f0e-8a53-0a9d1a1f8a11/status')
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await response.json()).toEqual({ detail: 'The queue does not answer' })
    expect(errors).toEqual([])
  })

  it('have a full disk: clients are told so', async () => {
    const queue = createFakeQueue()
    queue.submit = async () => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    }
    const { post } = await serve({ queue })
    const response = await post(`/${endpoint}`, input)
    expect([response.status, await response.json()]).toEqual([
      507,
      { detail: 'The disk of the server is full', error_type: 'insufficient_storage' },
    ])
  })

  it('do not train for a client that went away', async () => {
    const { post: _, fetch, queue } = await serve()
    const abort = new AbortController()
    const init = { method: 'POST', body: JSON.stringify(input), signal: abort.signal }
    const running = fetch(`/run/${endpoint}`, init).catch(() => undefined)
    const first = () => [...queue.requests.values()][0]
    while (!first()) await new Promise((resolve) => setTimeout(resolve, 5))
    abort.abort()
    await running
    while (!first()?.cancelRequested) await new Promise((resolve) => setTimeout(resolve, 5))
  })
})
