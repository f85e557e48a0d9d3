import { createHash, createPublicKey, generateKeyPairSync, type JsonWebKey, verify } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { guardFor } from '../../src/net/guard.ts'
import { createHttpClient } from '../../src/net/http-client.ts'
import { openDatabase } from '../../src/queue/database.ts'
import { type DueWebhook, openQueue } from '../../src/queue/queue.ts'
import type { QueuedRequest } from '../../src/queue/request.ts'
import { openSigningKey } from '../../src/server/signing-key.ts'
import { type CallOptions, callWebhooks, deliverWebhook, nextCall, webhookPayload } from '../../src/server/webhooks.ts'

const newKeyPath = () => join(mkdtempSync(join(tmpdir(), 'ltx-a2a-webhooks-')), 'data', 'key.json')
const keyPath = newKeyPath()
const key = openSigningKey(keyPath)

type Received = { method: string | undefined; url: string | undefined; headers: IncomingHttpHeaders; body: string }

let server: Server
let origin = ''
let answer = (response: ServerResponse) => void response.end()
const received: Received[] = []
beforeAll(async () => {
  server = createServer(async (request, response) => {
    const { method, url, headers } = request
    received.push({ method, url, headers, body: await text(request) })
    answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  received.length = 0
  answer = (response) => void response.end()
})
afterEach(() => void vi.restoreAllMocks())

const client = createHttpClient({ env: {} })
const never = new AbortController().signal
const id = '0b9f4f5e-1c1e-4b57-9d0c-3c9f3a1f8a11'
const payload = webhookPayload(id, {
  output: { lora_file: { url: 'https://x.test/lora', file_name: 'é.safetensors' } },
})
const deliver = (path = '/hook?job=1', options: Partial<Parameters<typeof deliverWebhook>[2]> = {}) =>
  deliverWebhook(origin + path, payload, { key, client, signal: never, ...options })

/** What a receiver does: with the headers, the body as it came, and the document of public keys. */
function isGenuine({ headers, body }: Received, jwks: { keys: JsonWebKey[] }): boolean {
  const header = (name: string) => String(headers[`x-fal-webhook-${name}`])
  if (Math.abs(Date.now() / 1000 - Number(header('timestamp'))) > 300) return false
  const hash = createHash('sha256').update(body).digest('hex')
  const message = [header('request-id'), header('user-id'), header('timestamp'), hash].join('\n')
  const signature = Buffer.from(header('signature'), 'hex')
  return jwks.keys.some((jwk) =>
    verify(null, Buffer.from(message), createPublicKey({ key: jwk, format: 'jwk' }), signature),
  )
}

describe('a delivery', () => {
  it('is a signed POST that a receiver can check', async () => {
    expect(await deliver()).toBeUndefined()
    const [got] = received as [Received]
    expect(got).toMatchObject({ method: 'POST', url: '/hook?job=1' })
    expect(got.headers).toMatchObject({ 'content-type': 'application/json', 'x-fal-webhook-request-id': id })
    expect(got.headers['x-fal-webhook-signature']).toMatch(/^[0-9a-f]{128}$/)
    expect(JSON.parse(got.body)).toEqual(payload)
    expect(isGenuine(got, JSON.parse(JSON.stringify(key.jwks)))).toBe(true)
  })

  it('that was changed, or is of another server, is not genuine', async () => {
    await deliver()
    const [got] = received as [Received]
    const changed = (name: string, value: string) => ({ ...got, headers: { ...got.headers, [name]: value } })
    expect(isGenuine({ ...got, body: `${got.body} ` }, key.jwks)).toBe(false)
    expect(isGenuine(changed('x-fal-webhook-request-id', 'other'), key.jwks)).toBe(false)
    expect(isGenuine(changed('x-fal-webhook-user-id', 'other'), key.jwks)).toBe(false)
    expect(isGenuine(changed('x-fal-webhook-timestamp', `${Math.floor(Date.now() / 1000) + 9}`), key.jwks)).toBe(false)
    expect(isGenuine(got, openSigningKey(newKeyPath()).jwks)).toBe(false)
  })

  it.each([204, 299])('succeeds with the status %i', async (status) => {
    answer = (response) => void response.writeHead(status).end()
    expect(await deliver()).toBeUndefined()
  })

  it.each([301, 400, 404, 408, 410, 429, 500, 503])('fails with the status %i', async (status) => {
    answer = (response) => void response.writeHead(status, { location: '/elsewhere' }).end()
    expect(await deliver()).toBe(`the receiver answered ${status}`)
    expect(received).toHaveLength(1)
  })

  it('fails where nobody listens', async () => {
    const unused = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => unused.once('listening', resolve))
    const { port } = unused.address() as AddressInfo
    await new Promise((resolve) => unused.close(resolve))
    const url = `http://127.0.0.1:${port}/`
    const reason = await deliverWebhook(url, payload, { key, client, signal: never })
    expect(reason).toBe(`${url} cannot be reached (ECONNREFUSED)`)
  })

  it('fails after 15 s without an answer', async () => {
    answer = () => {}
    const timeout = AbortSignal.timeout
    const soon = vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout(ms / 300))
    expect(await deliver()).toBe('the receiver did not answer within 15 s')
    expect(soon).toHaveBeenCalledWith(15_000)
  })

  it('succeeds although the content of the answer never ends', async () => {
    answer = (response) => void response.write('x')
    expect(await deliver()).toBeUndefined()
  })

  it('fails when the receiver has a private address, and nothing is sent', async () => {
    const guarded = createHttpClient({ env: {}, guard: guardFor({ allowPrivate: false }) })
    expect(await deliver('/', { client: guarded })).toMatch(/^127\.0\.0\.1 is not on the public internet/)
    expect(received).toEqual([])
  })

  it.each([
    ['file:///etc/passwd', 'file: URLs are not supported: file:///etc/passwd'],
    ['https://me:secret@x.test/', 'https://…@x.test/ contains a login'],
    ['hook', 'hook is not a URL'],
  ])('fails for %s', async (url, reason) =>
    expect(await deliverWebhook(url, payload, { key, client, signal: never })).toBe(reason),
  )

  it('can be stopped', async () => {
    answer = () => {}
    const controller = new AbortController()
    const stopped = expect(deliver('/', { signal: controller.signal })).rejects.toThrow('the server ends')
    await vi.waitFor(() => expect(received).toHaveLength(1))
    controller.abort(new Error('the server ends'))
    await stopped
  })
})

describe('the payload', () => {
  const ids = { request_id: id, gateway_request_id: id }

  it('of an output', () =>
    expect(webhookPayload(id, { output: { seed: 1 } })).toEqual({ ...ids, status: 'OK', payload: { seed: 1 } }))

  it('of input that cannot be used', () => {
    const detail = [{ loc: ['body', 'rank'], msg: 'field required', type: 'missing' }] as const
    expect(webhookPayload(id, { error: { status: 422, detail } })).toEqual({
      ...ids,
      status: 'ERROR',
      error: 'Invalid status code: 422',
      payload: { detail },
    })
  })

  it('of a failure of the server', () =>
    expect(webhookPayload(id, { error: { status: 500, detail: 'no memory', type: 'internal_error' } })).toEqual({
      ...ids,
      status: 'ERROR',
      error: 'Invalid status code: 500',
      payload: { detail: 'no memory', error_type: 'internal_error' },
    }))
})

it('a webhook is called 10 more times in 2 hours, with growing pauses', () => {
  const start = new Date('2026-01-01T00:00:00.000Z')
  const times: number[] = []
  for (let now: Date | undefined = start; now; now = nextCall(times.length, now))
    times.push((now.getTime() - start.getTime()) / 1000)
  expect(times).toEqual([0, 7, 21, 49, 105, 217, 441, 889, 1785, 3577, 7161])
})

describe('the webhooks that are due', () => {
  const requestOf = (change: Partial<QueuedRequest> = {}): QueuedRequest => ({
    ...{ id, kind: 'train', endpoint: 'fal-ai/ltx23-trainer-v2/a2a', input: {}, parameters: {}, priority: 'normal' },
    ...{ status: 'COMPLETED', submittedAt: new Date(), cancelRequested: false, attempts: 1, workedSeconds: 1 },
    ...{ webhook: `${origin}/hook`, output: { lora_file: 'runs/1/lora.safetensors' } },
    ...change,
  })

  /** Calls the webhooks of these requests. */
  async function callAll(due: Partial<DueWebhook>[], change: Partial<CallOptions> = {}) {
    const [calledAgain, warnings, errors]: [(Date | undefined)[], string[], unknown[]] = [[], [], []]
    const called = async (next: Date | undefined) => void calledAgain.push(next)
    const waiting = due.map((change) => ({ request: requestOf(), attempts: 0, called, ...change }))
    await callWebhooks(
      { dueWebhook: async () => waiting.shift() },
      {
        ...{ key, client, signal: never },
        outputOf: async (output) => ({ lora_file: { url: `https://x.test/${output.lora_file}` } }),
        warn: (message) => warnings.push(message),
        onError: (error) => errors.push(error),
        ...change,
      },
    )
    return { calledAgain, warnings, errors, left: waiting.length }
  }

  it('are called with the output as the API answers it, or the error', async () => {
    const error = { status: 499, detail: 'stopped', type: 'client_cancelled' }
    const failed = requestOf({ id: 'b', output: undefined, error, webhook: `${origin}/failed` })
    const outcome = await callAll([{}, { request: failed }])
    expect(outcome).toEqual({ calledAgain: [undefined, undefined], warnings: [], errors: [], left: 0 })
    expect(received.every((got) => isGenuine(got, key.jwks))).toBe(true)
    expect(Object.fromEntries(received.map(({ url, body }) => [url, JSON.parse(body)]))).toEqual({
      '/hook': webhookPayload(id, { output: { lora_file: { url: 'https://x.test/runs/1/lora.safetensors' } } }),
      '/failed': webhookPayload('b', { error }),
    })
  })

  it('are called again later when the receiver fails, and given up in the end', async () => {
    answer = (response) => void response.writeHead(500).end()
    const before = Date.now()
    const outcome = await callAll([{ attempts: 2 }, { attempts: 10 }])
    const [next] = outcome.calledAgain.filter((next) => next !== undefined)
    expect(outcome.calledAgain).toHaveLength(2)
    expect(Number(next)).toBeGreaterThanOrEqual(before + 28_000)
    expect(outcome.warnings.sort()).toEqual([
      `the webhook of request ${id} failed: the receiver answered 500; it is called again at ${next?.toISOString()}`,
      `the webhook of request ${id} failed: the receiver answered 500; it is given up after 11 calls`,
    ])
    expect(outcome.errors).toEqual([])
  })

  it('are called again later when there is no answer to send', async () => {
    const outputOf = async () => Promise.reject(new Error('the disk is broken'))
    const { calledAgain, errors } = await callAll([{}], { outputOf })
    expect(calledAgain).toEqual([expect.any(Date)])
    expect(errors).toEqual([expect.objectContaining({ message: 'the disk is broken' })])
    expect(received).toEqual([])
  })

  it('do not wait for a receiver that does not answer', async () => {
    let waiting: ServerResponse | undefined
    answer = (response) => {
      if (waiting) response.end()
      else waiting = response
      if (received.length === 20) waiting.end()
    }
    expect(await callAll(Array.from({ length: 20 }, () => ({})))).toMatchObject({ left: 0, warnings: [], errors: [] })
    expect(received).toHaveLength(20)
  })

  it('stay due when the server ends', async () => {
    answer = () => {}
    const controller = new AbortController()
    const outcome = callAll(
      Array.from({ length: 20 }, () => ({})),
      { signal: controller.signal },
    )
    await vi.waitFor(() => expect(received).toHaveLength(8))
    controller.abort()
    expect(await outcome).toEqual({ calledAgain: [], warnings: [], errors: [], left: 12 })
    expect(await callAll([{}], { signal: controller.signal })).toMatchObject({ left: 1 })
  })

  it('are those of the queue', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-webhooks-'))
    const queue = await openQueue(await openDatabase(folder))
    const submit = { ...requestOf(), webhook: `${origin}/queue` }
    const { id } = await queue.submit(submit)
    await (await queue.claim('worker'))?.complete({ seed: 1 })
    const options = { key, client, signal: never, outputOf: async (output: object) => ({ ...output }) }
    const [warn, onError] = [vi.fn(), vi.fn()]
    for (let i = 0; i < 2; i++) await callWebhooks(queue, { ...options, warn, onError })
    expect(received.map(({ url }) => url)).toEqual(['/queue'])
    expect(JSON.parse(received[0]?.body ?? '')).toEqual(webhookPayload(id, { output: { seed: 1 } }))
    expect(await queue.dueWebhook()).toBeUndefined()
    expect([warn.mock.calls, onError.mock.calls]).toEqual([[], []])
    await queue.close()
    rmSync(folder, { recursive: true })
  })
})

describe('the key', () => {
  it('is created once, for its owner alone', () => {
    const path = newKeyPath()
    const first = openSigningKey(path)
    const bytes = readFileSync(path)
    expect(openSigningKey(path).jwks).toEqual(first.jwks)
    expect(openSigningKey(path).sign('x')).toBe(first.sign('x'))
    expect(readFileSync(path).equals(bytes)).toBe(true)
    expect(readdirSync(join(path, '..'))).toEqual(['key.json'])
    if (process.platform !== 'win32') expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('is published without its private part', () => {
    const { d, x } = JSON.parse(readFileSync(keyPath, 'utf8'))
    expect(d).toMatch(/^[\w-]{43}$/)
    expect(key.jwks).toEqual({
      keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid: expect.stringMatching(/^[\w-]{43}$/), use: 'sig', alg: 'EdDSA' }],
    })
  })

  it('has the thumbprint of RFC 8037 as its name', () => {
    const path = newKeyPath()
    openSigningKey(path)
    const d = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A' // appendix A of the RFC
    const x = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'
    writeFileSync(path, JSON.stringify({ kty: 'OKP', crv: 'Ed25519', d, x }))
    expect(openSigningKey(path).jwks.keys[0]).toMatchObject({ x, kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k' })
  })

  it.each([
    ['damaged', '{"kty": "OK'],
    ['empty', ''],
    ['of another kind', JSON.stringify(generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' }))],
    ['public', JSON.stringify({ kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' })],
  ])('is refused when it is %s, and not replaced', (_, content) => {
    const path = newKeyPath()
    openSigningKey(path)
    writeFileSync(path, content)
    expect(() => openSigningKey(path)).toThrow(
      expect.objectContaining({ name: 'UserError', message: `${path} is not a readable Ed25519 key` }),
    )
    expect(readFileSync(path, 'utf8')).toBe(content)
  })
})
