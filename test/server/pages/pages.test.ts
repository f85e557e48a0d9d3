/** The pages as a program sees them. */
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, test } from 'vitest'
import { encodeWav } from '../../../src/audio/wav.ts'
import { trainParameters } from '../../../src/config/parameters.ts'
import { cancelledError } from '../../../src/queue/request.ts'
import { createMetricsReader } from '../../../src/server/pages/metrics-file.ts'
import { tone } from '../../audio/signals.ts'
import { projectPath } from '../../cli/bin.ts'
import { line } from './fake-queue.ts'
import { type PageServer, pageServer } from './page-server.ts'

const servers: PageServer[] = []
const start = (...options: Parameters<typeof pageServer>) => {
  const server = pageServer(...options)
  servers.push(server)
  return server
}
afterEach(() => {
  for (const server of servers.splice(0)) server.remove()
})
afterAll(() => expect(servers).toEqual([]))

const textOf = async ({ app }: PageServer, path: string, init: RequestInit = {}) => {
  const answer = await app.request(`http://127.0.0.1${path}`, init)
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}
const post = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
})
const postForm = (values: Record<string, string>): RequestInit => ({
  method: 'POST',
  body: new URLSearchParams(values),
})

describe('every page', () => {
  const pages = async () => {
    const server = start()
    const { id } = server.queue.add({ parameters: { trigger_phrase: '<script>alert(1)</script>' } })
    const trained = server.queue.add({ status: 'COMPLETED', output: {} })
    server.put(`runs/${trained.id}/lora.safetensors`, 'lora')
    const paths = ['/', '/requests', `/requests/${id}`, '/play', '/login']
    return Promise.all(paths.map(async (path) => ({ path, ...(await textOf(server, path)) })))
  }

  it('has one title, a language, a label for each input, and unique ids', async () => {
    for (const { path, text } of await pages()) {
      expect([path, text.match(/<h1>/g)?.length]).toEqual([path, 1])
      expect(text).toContain('<html lang="en">')
      const ids = [...text.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id)
      expect(ids).toEqual([...new Set(ids)])
      for (const [input] of text.matchAll(/<(input|select|textarea|progress|audio)\b[^>]*>/g)) {
        const [, id] = / id="([^"]*)"/.exec(input) ?? []
        const before = text.slice(0, text.indexOf(input))
        const isInLabel = before.lastIndexOf('<label') > before.lastIndexOf('</label>')
        const isLabelled =
          text.includes(`<label for="${id}">`) || isInLabel || / (aria-label|type="hidden")/.test(input)
        expect(isLabelled ? '' : input).toBe('')
      }
    }
  })

  it('runs nothing but the files of this server', async () => {
    for (const { headers, text } of await pages()) {
      expect(headers.get('content-security-policy')).toMatch(/^default-src 'self';(?!.*unsafe)/)
      expect(text).not.toMatch(/ (on[a-z]+|style)="/)
      expect(text.match(/<script/g)).toHaveLength(1)
      expect(text).not.toMatch(/(src|href)="(?!\/|#)/)
    }
  })
})

describe('the form', () => {
  it('has a field for each parameter that a client may give, with its default', async () => {
    const { text } = await textOf(start({ allowLocalPaths: true }), '/')
    const fields = [...text.matchAll(/data-field="([^"]*)"/g)].map(([, name]) => name)
    const left = ['out', 'split_input_into_scenes', 'split_input_duration_threshold']
    expect(fields.sort()).toEqual(
      Object.keys(trainParameters)
        .filter((name) => !left.includes(name))
        .sort(),
    )
    expect(text).toMatch(
      /id="rank" name="rank" data-default="32"[^>]* value="32" step="1" min="1" max="1024" list="rank-list"/,
    )
    expect(text).toMatch(/type="checkbox"[^>]*name="audio_normalize"[^>]* checked>/)
  })

  it('does not offer places on the machine of the server, unless they are allowed', async () => {
    const { text } = await textOf(start(), '/')
    expect(text).not.toContain('data-field="model"')
    expect(text).not.toContain('zip, folder or URL')
  })

  it('is filled in with the settings of an earlier request', async () => {
    const server = start()
    const input = { rank: 64, trigger_phrase: 'a "b"', audio_normalize: false, alpha: 7 }
    const validation = [{ prompt: 'p', reference_audio_url: 'http://127.0.0.1/files/uploads/1/a%20b.wav' }]
    const { id } = server.queue.add({ input: { ...input, validation } })
    const { text } = await textOf(server, `/?from=${id}`)
    expect(text).toMatch(/name="rank"[^>]* value="64"/)
    expect(text).toMatch(/name="trigger_phrase"[^>]* value="a &quot;b&quot;"/)
    expect(text).not.toMatch(/name="audio_normalize"[^>]* checked/)
    expect(text).toContain('<details open><summary>More: Alpha')
    expect(text).toMatch(/<ol><li data-url="[^"]*a%20b.wav"><span class="name">a b.wav<.*value="p"/)
  })
})

/** The lines of its answer. */
async function inspect(server: PageServer, input: Readonly<Record<string, unknown>>) {
  const { status, text } = await textOf(server, '/inspect', post(input))
  return {
    status,
    lines: text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  }
}

describe('the inspection', () => {
  it('refuses what is not a file of this server', async () => {
    for (const url of ['/etc/passwd', 'http://169.254.169.254/x.zip', 'http://127.0.0.1/files/uploads/gone.zip', 7])
      expect((await textOf(start(), '/inspect', post({ training_data_url: url }))).status).toBe(422)
  })

  it('says what is wrong with a dataset, without the place where it is', async () => {
    const server = start()
    server.put('uploads/1/pairs.zip', 'no zip')
    const url = `http://127.0.0.1${server.files.urlOf('uploads/1/pairs.zip')}`
    const { lines, status } = await inspect(server, { training_data_url: url })
    expect([status, lines]).toEqual([200, [{ detail: expect.stringContaining('pairs.zip'), isUsable: false }]])
    expect(JSON.stringify(lines)).not.toContain(server.files.folder)
  })

  it('says how far it is, and repeats nothing for a phrase or settings that it has seen', async () => {
    const server = start()
    const zip = readFileSync(projectPath('fixtures/zips/valid/ten-pairs.zip'))
    server.put('uploads/1/pairs.zip', zip)
    const input = {
      training_data_url: `http://127.0.0.1${server.files.urlOf('uploads/1/pairs.zip')}`,
      audio_duration_seconds: 1,
    }
    const counts = Array.from({ length: 10 }, (_, i) => ({ done: i + 1, total: 10 }))
    const result = { isUsable: true, summary: expect.stringContaining('10 of 10 pairs'), html: expect.any(String) }
    const first = await inspect(server, input)
    expect(first.lines).toEqual([...counts, result])
    expect((await inspect(server, input)).lines).toEqual([first.lines.at(-1)])

    const { lines: phrased } = await inspect(server, { ...input, trigger_phrase: 'as on vinyl' })
    expect(phrased).toEqual([result])
    expect(phrased[0].html).toContain('as on vinyl')

    expect((await inspect(server, { ...input, audio_normalize: false })).lines).toHaveLength(11)
    utimesSync((await server.files.resolve('uploads/1/pairs.zip')) as string, 1, 1)
    expect((await inspect(server, input)).lines).toHaveLength(11)
  })
})

describe('the history', () => {
  it('has pages of requests, the newest first', async () => {
    const server = start()
    for (let i = 1; i <= 30; i++) server.queue.add({ parameters: { trigger_phrase: `phrase ${i}.` } })
    const first = (await textOf(server, '/requests')).text
    expect([first.includes('phrase 30.'), first.includes('phrase 6.'), first.includes('phrase 5.')]).toEqual([
      true,
      true,
      false,
    ])
    const [, older = ''] = /href="(\/requests\?before=[^"]*)"/.exec(first) ?? []
    const second = (await textOf(server, older)).text
    expect([second.includes('phrase 6.'), second.includes('phrase 5.'), second.includes('phrase 1.')]).toEqual([
      false,
      true,
      true,
    ])
    expect(second).not.toContain('Older')
  })
})

describe('the history', () => {
  it.each([
    ['120 of 400', { status: 'IN_PROGRESS', progress: { stage: 'Previews', done: 1, total: 2, step: 120, loss: 0.5 } }],
    ['400', { status: 'IN_PROGRESS', progress: { stage: 'Encoding', done: 3, total: 10 } }],
    ['400', { status: 'COMPLETED', progress: { stage: 'Training', done: 400, total: 400, step: 400 } }],
  ] as const)('shows %j steps', async (expected, request) => {
    const server = start()
    server.queue.add({ ...request, parameters: { number_of_steps: 400 } })
    expect((await textOf(server, '/requests')).text).toContain(`data-label="steps">${expected}</td>`)
  })
})

describe('a request', () => {
  it('shows its state as JSON, with the lines of the log that are new', async () => {
    const server = start()
    const { id } = server.queue.add({ status: 'IN_PROGRESS', progress: { stage: 'Encoding', done: 3, total: 10 } })
    server.queue.lines.set(
      id,
      ['a', 'b', '<c>'].map((text) => line(text)),
    )
    const state = JSON.parse((await textOf(server, `/requests/${id}/state.json?from=2`)).text)
    expect(state).toMatchObject({
      isActive: true,
      count: 3,
      lines: [{ level: 'INFO', timestamp: '2026-05-01T10:00:05.000Z', message: '<c>' }],
    })
    expect(state.parts.summary).toContain('<progress max="10" value="3" aria-label="Encoding">')
  })

  it('has a bar of what is done now, and the loss only while it trains', async () => {
    const server = start()
    const text = async (stage: string) => {
      const progress = { stage, done: 1, total: 2, step: 120, loss: 0.5 }
      return (await textOf(server, `/requests/${server.queue.add({ status: 'IN_PROGRESS', progress }).id}`)).text
    }
    expect(await text('Previews')).toContain('<span>Previews: 1 of 2</span>')
    expect(await text('Training')).toContain('<span>Training: 1 of 2 · loss 0.5000</span>')
  })

  it('says why it failed', async () => {
    const server = start()
    const detail = [{ loc: ['body', 'training_data_url'], msg: 'no <pair> fits', type: 'value_error' }] as const
    const { id } = server.queue.add({ status: 'COMPLETED', error: { status: 422, detail } })
    expect((await textOf(server, `/requests/${id}`)).text).toContain('<li>Dataset: no &lt;pair&gt; fits</li>')
  })

  it('is cancelled and resumed', async () => {
    const server = start()
    const request = server.queue.add({})
    const answer = await textOf(server, `/requests/${request.id}/cancel`, { method: 'POST' })
    expect([answer.status, answer.headers.get('location')]).toEqual([303, `/requests/${request.id}#status`])
    expect(request.error).toEqual(cancelledError)
    await textOf(server, `/requests/${request.id}/resume`, { method: 'POST' })
    expect(request.status).toBe('IN_QUEUE')
  })

  it('is resumed only where something was saved, and has the LoRA of its last checkpoint', async () => {
    const server = start()
    const { id } = server.queue.add({ status: 'COMPLETED', error: { status: 500, detail: 'no memory' } })
    const before = (await textOf(server, `/requests/${id}`)).text
    expect([before.includes('Resume'), before.includes('Train again')]).toEqual([false, true])
    server.put(`runs/${id}/state.safetensors`, '')
    for (const step of ['00100', '00200'])
      server.put(`runs/${id}/checkpoints/lora_weights_step_${step}.safetensors`, '')
    const { text } = await textOf(server, `/requests/${id}`)
    expect(text).toContain('>Resume</button>')
    expect(text).toMatch(/step_00200.safetensors" download>Download the LoRA so far</)
  })

  it('is deleted with its run and the uploads that no other request names', async () => {
    const server = start()
    const [own, shared] = [randomUUID(), randomUUID()]
    const place = (upload: string) => `server-file:uploads/${upload}/a.zip`
    const { id } = server.queue.add({
      ...{ status: 'COMPLETED', output: {} },
      parameters: { training_data_url: place(own), holdout_data: place(shared) },
    })
    server.queue.add({ parameters: { training_data_url: place(shared) } })
    for (const key of [`uploads/${own}/a.zip`, `uploads/${shared}/a.zip`, `runs/${id}/x`]) server.put(key, '')
    const answer = await textOf(server, `/requests/${id}/delete`, { method: 'POST' })
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/requests'])
    const isThere = (key: string) => existsSync(join(server.files.folder, key))
    expect([`uploads/${own}`, `uploads/${shared}`, `runs/${id}`].map(isThere)).toEqual([false, true, false])
  })

  it('is not deleted while it runs', async () => {
    const server = start()
    const { id } = server.queue.add({ status: 'IN_PROGRESS' })
    await textOf(server, `/requests/${id}/delete`, { method: 'POST' })
    expect(server.queue.requests).toHaveLength(1)
  })

  it('has its input as a job file', async () => {
    const server = start()
    const { id } = server.queue.add({ input: { rank: 8 } })
    const { text, headers } = await textOf(server, `/requests/${id}/job.json`)
    expect([JSON.parse(text), headers.get('content-disposition')]).toEqual([
      { rank: 8 },
      expect.stringContaining('attachment'),
    ])
  })

  it('is not found where there is none', async () => {
    for (const path of ['/requests/x', '/requests/x/state.json', '/requests/x/job.json'])
      expect((await textOf(start(), path)).status).toBe(404)
  })
})

describe('the playground', () => {
  const played = async (change: Record<string, unknown>) => {
    const server = start()
    const training = server.queue.add({
      ...{ status: 'COMPLETED', output: {} },
      parameters: { model: 'server-file:uploads/9/m.safetensors', rank: 8 },
    })
    server.put(`runs/${training.id}/lora.safetensors`, 'last')
    server.put(`runs/${training.id}/best.safetensors`, 'best')
    server.put('uploads/1/take.wav', encodeWav(tone(1)))
    const inputs = `http://127.0.0.1${server.files.urlOf('uploads/1/take.wav')}`
    const answer = await textOf(server, '/play', post({ lora: training.id, inputs, ...change }))
    return { ...answer, training, request: server.queue.requests.find(({ kind }) => kind === 'apply') }
  }

  it('queues the best LoRA with the model that it was trained on', async () => {
    const { status, request, training } = await played({ cfg: 3, lora_strength: 0.5 })
    expect([status, request?.parameters]).toEqual([
      200,
      {
        ...{ model: 'server-file:uploads/9/m.safetensors', cfg: 3, lora_strength: [0.5] },
        ...{ lora: [`server-file:runs/${training.id}/best.safetensors`], inputs: ['server-file:uploads/1/take.wav'] },
      },
    ])
  })

  it.each<[field: string, change: Record<string, unknown>]>([
    ['lora', { lora: 'gone' }],
    ['inputs', { inputs: '/etc/passwd' }],
    ['inputs', { inputs: 'http://127.0.0.1/files/uploads/gone.wav' }],
    ['cfg', { cfg: 1000 }],
    ['prompt', { prompt: 'a'.repeat(400_000) }],
    ['out', { out: '/tmp/x' }],
    ['model', { model: '/etc/passwd' }],
    ['constructor', { constructor: 1 }],
  ])('refuses a wrong %s', async (field, change) => {
    const { status, text, request } = await played(change)
    expect([status, JSON.parse(text).detail[0].loc, request]).toEqual([422, ['body', field], undefined])
  })
})

describe('with a key', () => {
  const key = 'correct-horse'

  it('pages lead to the sign-in, and JSON is refused', async () => {
    const server = start({ key })
    const page = await textOf(server, '/requests?before=x')
    expect([page.status, page.headers.get('location')]).toEqual([303, '/login?to=%2Frequests%3Fbefore%3Dx'])
    const others: [string, RequestInit][] = [
      ...[['/requests/x/state.json', {}] as [string, RequestInit]],
      ...([
        ['/inspect', post({})],
        ['/play', post({})],
        ['/requests/x/cancel', { method: 'POST' }],
      ] as [string, RequestInit][]),
    ]
    for (const [path, init] of others) expect([path, (await textOf(server, path, init)).status]).toEqual([path, 401])
  })

  it('the key is exchanged for a cookie that does not contain it', async () => {
    const server = start({ key })
    expect((await textOf(server, '/login', postForm({ key: 'wrong' }))).status).toBe(401)
    const { status, headers } = await textOf(server, '/login', postForm({ key, to: '/play' }))
    expect([status, headers.get('location')]).toEqual([303, '/play'])
    const set = headers.get('set-cookie') ?? ''
    expect(set).toMatch(/HttpOnly/)
    expect(set).toMatch(/SameSite=Strict/)
    expect(set).not.toContain(key)
    const cookie = set.split(';')[0] as string
    const signedIn = await textOf(server, '/requests', { headers: { cookie } })
    expect([signedIn.status, signedIn.text.includes('Sign out')]).toEqual([200, true])
    const [name, token = ''] = cookie.split('=')
    const later = `${name}=${Number(token.split('.')[0]) + 1}.${token.split('.')[1]}`
    for (const forged of [later, `${name}=`, `${name}=${token}x`])
      expect((await textOf(server, '/requests', { headers: { cookie: forged } })).status).toBe(303)
    expect((await textOf(start({ key: 'another' }), '/requests', { headers: { cookie } })).status).toBe(303)
  })

  it.each(['//evil.example', '/\\evil.example', 'https://evil.example', 'javascript:alert(1)'])(
    'signing in does not lead to %s',
    async (to) => {
      const { headers } = await textOf(start({ key }), '/login', postForm({ key, to }))
      expect(headers.get('location')).toBe('/')
    },
  )

  it('attempts to sign in are limited', async () => {
    const { status, text } = await textOf(start({ key, secondsUntilSignIn: () => 9 }), '/login', postForm({ key }))
    expect([status, text.includes('try again in 9 s')]).toEqual([429, true])
  })
})

test('metrics are read on as the file grows, and again when it was rewritten', () => {
  const server = start()
  const path = `${server.files.folder}/metrics.jsonl`
  const reader = createMetricsReader()
  const steps = () => reader.read(path).map(({ step }) => step)
  expect(steps()).toEqual([])
  server.put('metrics.jsonl', '{"step":1}\n{"step":2}\n{"st')
  expect(steps()).toEqual([1, 2])
  server.put('metrics.jsonl', '{"step":1}\n{"step":2}\n{"step":3}\n')
  expect(steps()).toEqual([1, 2, 3])
  server.put('metrics.jsonl', '{"step":1}\n')
  expect(steps()).toEqual([1])
})
