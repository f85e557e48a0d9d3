/** Requests that no client sends, over sockets of their own: each is refused, and the server goes on. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { endpoint, serve } from './test-server.ts'

type Server = Awaited<ReturnType<typeof serve>>
const input = { training_data_url: 'https://example.com/pairs.zip' }
/** After an attack: the server answers, and had no error of its own. */
async function expectAlive({ fetch, post, errors }: Server) {
  expect((await fetch('/health')).status).toBe(200)
  expect((await post(`/${endpoint}`, input)).status).toBe(200)
  expect(errors).toEqual([])
}

/** Sends these texts, one after another, until the connection is closed. @returns what came back. */
function send(port: number, texts: Iterable<string>, pauseMs = 0): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    const parts = texts[Symbol.iterator]()
    const next = () => {
      const { done, value } = parts.next()
      if (done || socket.destroyed) return
      socket.write(value, () => (pauseMs > 0 ? setTimeout(next, pauseMs) : setImmediate(next)))
    }
    socket
      .on('connect', next)
      .on('data', (data) => (answer += data))
      .on('error', () => undefined) // reset while it still sends
      .on('close', () => resolve(answer))
  })
}

const head = (path: string, ...lines: string[]) =>
  [`POST ${path} HTTP/1.1`, 'Host: localhost', ...lines, '', ''].join('\r\n')

const apiError = (answer: string) => {
  const [top = '', body = ''] = answer.split('\r\n\r\n')
  return { status: Number(top.split(' ')[1]), body: body.match(/\{.*\}/s)?.[0] ?? '' }
}

function* endless(first: string, more: string) {
  yield first
  for (;;) yield more
}

describe('bodies', () => {
  const chunk = `1000\r\n${'x'.repeat(4096)}\r\n`
  const limits = { uploadBytes: 100_000, jsonBytes: 100_000 }

  it.each([`/${endpoint}`, '/files/upload'])('to %s that are chunked and do not end are refused', async (path) => {
    const running = await serve({ limits })
    const parts = [head(path, 'Transfer-Encoding: chunked'), ...Array<string>(25).fill(chunk)] // 102,400 bytes
    const answer = apiError(await send(running.port, parts))
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([413, { error_type: 'file_too_large' }])
    await expectAlive(running)
  })

  it('that go on after the refusal are cut off, and nothing of them stays', async () => {
    const running = await serve({ limits })
    await send(running.port, endless(head('/files/upload', 'Transfer-Encoding: chunked'), chunk)) // ends with the connection
    const names = readdirSync(join(running.data, 'files', 'uploads'), { recursive: true, encoding: 'utf8' })
    expect(names.filter((name) => name.includes('.upload'))).toEqual([])
    await expectAlive(running)
  })

  it('that claim to be huge are refused at once', async () => {
    const running = await serve()
    const answer = apiError(await send(running.port, [head('/files/upload', `Content-Length: ${2 ** 50}`)]))
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([413, { error_type: 'file_too_large' }])
    await expectAlive(running)
  })

  it.each([
    ['Content-Length: 5', 'Content-Length: 6'],
    ['Content-Length: 5', 'Transfer-Encoding: chunked'],
    ['Content-Length: -5', 'X: y'],
    ['Content-Length: 5x', 'X: y'],
  ])('with %s and %s are refused', async (...lines) => {
    const running = await serve()
    expect(apiError(await send(running.port, [`${head(`/${endpoint}`, ...lines)}hello`])).status).toBe(400)
    await expectAlive(running)
  })

  it('that come a byte at a time end after the time for them', async () => {
    const running = await serve({ limits: { jsonSeconds: 0.3 } })
    const slow = endless(head(`/${endpoint}`, 'Content-Length: 1000'), ' ')
    const answer = apiError(await send(running.port, slow, 20))
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([408, { error_type: 'request_timeout' }])
    await expectAlive(running)
  })

  it('whose headers come a line at a time end after the time for them', async () => {
    const running = await serve({ limits: { headerSeconds: 0.3 } })
    const slow = endless(`POST /${endpoint} HTTP/1.1\r\nHost: localhost\r\n`, 'X: y\r\n')
    expect(apiError(await send(running.port, slow, 20)).status).toBe(408)
    await expectAlive(running)
  })
})

describe('JSON', () => {
  it.each([
    ['{"__proto__":{"allowLocalPaths":true},"training_data_url":"/etc/passwd"}'],
    ['{"constructor":{"prototype":{"x":1}},"training_data_url":"https://example.com/a.zip"}'],
    ['{"training_data_url":"https://example.com/a.zip\\u0000"}'],
    ['{"training_data_url":"file:///etc/passwd"}'],
    [`{"training_data_url":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`],
    ['[]'],
    ['null'],
    ['{'],
    ['\ud800'],
  ])('%j is a 422', async (body) => {
    const running = await serve()
    const answer = await running.fetch(`/${endpoint}`, { method: 'POST', body })
    const { detail } = (await answer.json()) as { detail: { loc: string[]; type: string }[] }
    expect([answer.status, detail[0]?.loc[0], typeof detail[0]?.type]).toEqual([422, 'body', 'string'])
    expect(({} as Record<string, unknown>).allowLocalPaths).toBeUndefined()
    expect(running.queue.requests.size).toBe(0)
    await expectAlive(running)
  })
})

describe('addresses of this machine and its network', () => {
  it.each([
    '169.254.169.254',
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '0.0.0.0',
    '10.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:a9fe:a9fe]',
    '[64:ff9b::7f00:1]',
    '[fd00::1]',
    '[fe80::1]',
  ])('%s is refused in the input and as a webhook', async (host) => {
    const running = await serve()
    const bad = await running.post(`/${endpoint}`, { training_data_url: `http://${host}/a.zip` })
    expect([bad.status, await bad.json()]).toMatchObject([
      422,
      { detail: [{ loc: ['body', 'training_data_url'], type: 'file_download_error' }] },
    ])
    const hook = encodeURIComponent(`http://${host}/`)
    const webhook = await running.post(`/${endpoint}?fal_webhook=${hook}`, input)
    expect([webhook.status, await webhook.json()]).toMatchObject([422, { detail: [{ loc: ['query', 'fal_webhook'] }] }])
    await expectAlive(running)
  })
})

describe('headers', () => {
  it('cannot be injected by the name of a file', async () => {
    const running = await serve()
    const url = new URL(await running.upload('x', 'a.wav'))
    const answer = await running.fetch(`${url.pathname}?as=${encodeURIComponent('a\r\nX-Evil: 1\0".wav')}`)
    expect(answer.headers.get('x-evil')).toBeNull()
    expect(answer.headers.get('content-disposition')).toMatch(/filename="a__X-Evil: 1__\.wav"/)
    await expectAlive(running)
  })

  it('that are too large, or have null bytes, are refused', async () => {
    const running = await serve()
    const large = await send(running.port, [head(`/${endpoint}`, `X: ${'y'.repeat(100_000)}`)])
    const nul = await send(running.port, [head(`/${endpoint}`, 'X: a\0b')])
    expect([apiError(large).status, apiError(nul).status]).toEqual([431, 400])
    await expectAlive(running)
  })
})

describe('paths', () => {
  it.each([
    '%252e%252e%252f%252e%252e%252fkey.json', // encoded twice
    '%c0%ae%c0%ae%c0%afkey.json', // overlong UTF-8
    '%uff0e%uff0e/key.json',
    '..;/..;/key.json',
    '....//....//key.json',
    '.%2e/.%2E/key.json',
    '..%00/key.json',
    '..%5c..%5ckey.json',
  ])('that lead out of a run, such as %s, find nothing', async (path) => {
    const running = await serve()
    const run = 'runs/00000000-0000-4000-8000-000000000000'
    mkdirSync(join(running.data, 'files', run), { recursive: true })
    for (const folder of [running.data, join(running.data, 'files'), join(running.data, 'files', 'runs')])
      writeFileSync(join(folder, 'key.json'), 'secret')
    const { status, text } = await running.raw(`/files/${run}/${path}`)
    expect([status, typeof JSON.parse(text).detail]).toEqual([404, 'string'])
    await expectAlive(running)
  })
})
