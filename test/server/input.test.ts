/** Inputs are checked as a whole: each finding names its field, its type, and what was given. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { endpoint, serve } from './test-server.ts'

const training_data_url = 'https://example.com/pairs.zip'

type Finding = { loc: (string | number)[]; msg: string; type: string; url: string; ctx?: object; input?: unknown }

async function submit(input: unknown, options: Parameters<typeof serve>[0] = {}) {
  const server = await serve(options)
  const response = await server.post(`/${endpoint}`, input)
  const body = (await response.json()) as { request_id: string; detail: Finding[] }
  return { ...server, response, body, request: server.queue.requests.get(body.request_id) }
}

async function findings(input: unknown, options: Parameters<typeof serve>[0] = {}): Promise<Finding[]> {
  const { response, body, queue } = await submit(input, options)
  expect([response.status, response.headers.get('x-fal-retryable'), queue.requests.size]).toEqual([422, 'false', 0])
  for (const { type, url } of body.detail) expect(url).toBe(`https://docs.fal.ai/errors#${type}`)
  return body.detail
}

describe('a value that cannot be used', () => {
  it.each([
    [{}, 'training_data_url', { type: 'missing', msg: 'Field required' }],
    [
      { rank: 0 },
      'rank',
      { type: 'greater_than_equal', ctx: { ge: 1 }, input: 0, msg: 'Input should be greater than or equal to 1' },
    ],
    [{ rank: '2000' }, 'rank', { type: 'less_than_equal', ctx: { le: 1024 }, input: '2000' }],
    [{ rank: 1.5 }, 'rank', { type: 'int_from_float', input: 1.5 }],
    [{ rank: 'x' }, 'rank', { type: 'int_parsing', input: 'x' }],
    [{ rank: null }, 'rank', { type: 'int_type', input: null }],
    [{ learning_rate: 0 }, 'learning_rate', { type: 'greater_than', ctx: { gt: 0 } }],
    [{ learning_rate: [] }, 'learning_rate', { type: 'float_type' }],
    [{ ema: 1 }, 'ema', { type: 'less_than', ctx: { lt: 1 } }],
    [
      { windows: 'some' },
      'windows',
      {
        type: 'one_of',
        ctx: { expected: ['first', 'all', 'random'] },
        msg: "Input should be 'first', 'all' or 'random'",
      },
    ],
    [{ audio_normalize: 'maybe' }, 'audio_normalize', { type: 'bool_parsing' }],
    [{ audio_normalize: 1 }, 'audio_normalize', { type: 'bool_type' }],
    [{ trigger_phrase: 5 }, 'trigger_phrase', { type: 'string_type' }],
    [{ trigger_phrase: 'a\nb' }, 'trigger_phrase', { type: 'value_error' }],
    [{ holdout: 1.5 }, 'holdout', { type: 'value_error' }],
    [
      { holdout: 'some' },
      'holdout',
      {
        type: 'value_error',
        msg: 'Value error, must be a whole number, or a share below 1 such as 0.1 or 10%',
        input: 'some',
      },
    ],
    [
      { validation_negative_prompt: 'a'.repeat(400_000) },
      'validation_negative_prompt',
      { type: 'value_error', msg: 'Value error, must be at most 10000 characters long' },
    ],
    [{ bogus: 1 }, 'bogus', { type: 'extra_forbidden', msg: 'Extra inputs are not permitted' }],
    [{ target_modules: [] }, 'target_modules', { type: 'sequence_too_short', ctx: { min_length: 1 } }],
    [{ target_modules: 7 }, 'target_modules', { type: 'list_type' }],
    [
      { validation: Array(17).fill({ reference_audio_url: training_data_url }) },
      'validation',
      { type: 'sequence_too_long', ctx: { max_length: 16 } },
    ],
    [{ validation: [{ prompt: 'a' }] }, 'validation.0.reference_audio_url', { type: 'missing' }],
    [{ validation: ['a'] }, 'validation.0', { type: 'dict_type' }],
    [
      { validation: [{ reference_audio_url: training_data_url, seed: 1 }] },
      'validation.0.seed',
      { type: 'extra_forbidden', input: 1 },
    ],
    [{ split_input_into_scenes: true }, 'split_input_into_scenes', { type: 'feature_not_supported', input: true }],
    [
      { learningrate: 1 },
      'learningrate',
      { type: 'extra_forbidden', msg: 'Extra inputs are not permitted: did you mean learning_rate?' },
    ],
    [{ __proto__x: 1 }, '__proto__x', { type: 'extra_forbidden' }],
    [{ out: 'runs/x' }, 'out', { type: 'extra_forbidden' }],
    [
      { patience: 3 },
      'patience',
      { type: 'value_error', msg: 'Value error, patience is 3, but no pairs are held out' },
    ],
  ])('%j', async (values, field, expected) => {
    const given =
      'msg' in expected && expected.msg === 'Field required' && field === 'training_data_url'
        ? values
        : { training_data_url, ...values }
    expect(await findings(given)).toEqual([
      expect.objectContaining({
        ...expected,
        loc: [
          'body',
          ...field
            .split('.')
            .filter(Boolean)
            .map((key) => (/^\d+$/.test(key) ? Number(key) : key)),
        ],
      }),
    ])
  })

  it('is reported with all others', async () => {
    const given = {
      rank: 0,
      windows: 'x',
      training_data_url: 'pairs.zip',
      unknown: 1,
      model: '/model',
      split_input_into_scenes: true,
    }
    expect((await findings(given)).map(({ loc }) => loc[1])).toEqual([
      'training_data_url',
      'windows',
      'split_input_into_scenes',
      'rank',
      'model',
      'unknown',
    ])
  })

  it('is not sent back where it is long', async () => {
    const [finding] = await findings({ training_data_url, trigger_phrase: 'x'.repeat(5000) })
    expect(finding).not.toHaveProperty('input')
  })

  it.each([
    ['no body', undefined, 'missing'],
    ['a list', [], 'model_attributes_type'],
    ['text', 'rank', 'model_attributes_type'],
    ['null', null, 'model_attributes_type'],
  ])('%s instead of an object', async (_, input, type) => {
    expect(await findings(input)).toEqual([expect.objectContaining({ loc: ['body'], type })])
  })

  it.each(['{"rank": 1', '{"rank": 1, "rank": 2}', Buffer.from([0x22, 0xff, 0x22])])(
    '%s instead of JSON',
    async (body) => {
      const { fetch } = await serve()
      const response = await fetch(`/${endpoint}`, { method: 'POST', body })
      expect([response.status, await response.json()]).toMatchObject([422, { detail: [{ type: 'json_invalid' }] }])
    },
  )
})

describe('values that can be used', () => {
  it('are read from text, as the hosted trainer reads them', async () => {
    const { request } = await submit({
      training_data_url,
      rank: '32',
      learning_rate: '1e-4',
      debug_dataset: 'true',
      holdout: '10%',
      keep_checkpoints: '3',
      trigger_phrase: '12',
    })
    expect(request?.parameters).toEqual({
      training_data_url,
      rank: 32,
      learning_rate: 1e-4,
      debug_dataset: true,
      holdout: 0.1,
      keep_checkpoints: 3,
      trigger_phrase: '12',
    })
  })

  it('may be null where there is no default, and may describe video', async () => {
    const { request } = await submit({
      training_data_url,
      alpha: null,
      model: null,
      number_of_frames: 89,
      with_audio: true,
    })
    expect(request?.parameters).toEqual({ training_data_url })
  })

  it('may go beyond the hosted trainer', async () => {
    const parameters = {
      training_data_url,
      rank: 24,
      number_of_steps: 10,
      seed: 7,
      audio_duration_seconds: 60,
      windows: 'all',
    }
    expect((await submit(parameters)).request?.parameters).toEqual(parameters)
  })
})

describe('a place', () => {
  it.each([
    ['training_data_url', 'pairs.zip'],
    ['training_data_url', '/etc/passwd'],
    ['training_data_url', 'file:///etc/passwd'],
    ['training_data_url', 'C:\\pairs.zip'],
    ['training_data_url', 'ftp://example.com/pairs.zip'],
    ['training_data_url', 'server-file:uploads/../../key.json'],
    ['training_data_url', 'http://'],
    ['training_data_url', 'data:application/zip;base64,'],
    ['holdout_data', '../held-out.zip'],
    ['model', '/models/ltx.safetensors'],
    ['model', 'https://example.com/ltx.safetensors'],
    ['text_encoder', 'gemma'],
    ['text_embeddings', '/texts.safetensors'],
  ])('on this machine or of another kind is refused: %s %s', async (name, place) => {
    const all = await findings({ training_data_url, [name]: place })
    expect(all).toEqual([expect.objectContaining({ loc: ['body', name], type: 'file_download_error', input: place })])
  })

  it('of a validation is refused alike', async () => {
    const validation = [{ reference_audio_url: 'https://example.com/a.wav' }, { reference_audio_url: '/etc/passwd' }]
    const [finding] = await findings({ training_data_url, validation })
    expect(finding).toMatchObject({
      loc: ['body', 'validation', 1, 'reference_audio_url'],
      type: 'file_download_error',
    })
  })

  it('on this machine is taken where paths are allowed', async () => {
    const parameters = { training_data_url: '/data/pairs.zip', model: 'a.safetensors,b.safetensors' }
    expect((await submit(parameters, { allowLocalPaths: true })).request?.parameters).toEqual(parameters)
    expect(await findings({ ...parameters, out: 'x' }, { allowLocalPaths: true })).toHaveLength(1)
    const scheme = { training_data_url: 'server-file:uploads/../../key.json' }
    expect(await findings(scheme, { allowLocalPaths: true })).toHaveLength(1)
  })

  it('on this server is named by its key, whatever the server is called', async () => {
    const { upload, post, queue, port, data } = await serve({ publicUrl: 'https://train.example.com/ltx/' })
    const publicly = await upload('content', 'a b.zip')
    expect(publicly).toMatch(/^https:\/\/train\.example\.com\/ltx\/files\/uploads\/[0-9a-f-]{36}\/a%20b\.zip$/)
    const path = publicly.slice('https://train.example.com/ltx'.length)
    const folder = join(data, 'files', 'runs', '00000000-0000-4000-8000-000000000000')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'base.safetensors'), '')
    for (const url of [
      publicly,
      `http://localhost:${port}${path}`,
      `http://127.0.0.1:${port}${path}`,
      `http://[::1]:${port}${path}`,
    ]) {
      const model = `http://localhost:${port}/files/runs/00000000-0000-4000-8000-000000000000/base.safetensors`
      const { request_id } = (await (await post(`/${endpoint}`, { training_data_url: url, model })).json()) as {
        request_id: string
      }
      const key = decodeURIComponent(path.slice('/files/'.length))
      expect(queue.requests.get(request_id)?.parameters).toEqual({
        training_data_url: `server-file:${key}`,
        model: 'server-file:runs/00000000-0000-4000-8000-000000000000/base.safetensors',
      })
    }
  })

  it('on this server must exist', async () => {
    const { port, post, fetch } = await serve()
    const init = { method: 'POST', body: JSON.stringify({ file_name: 'a.zip' }) }
    const { file_url: begun } = (await (await fetch('/storage/upload/initiate', init)).json()) as { file_url: string }
    const id = '00000000-0000-4000-8000-000000000000'
    const paths = [`/uploads/${id}/a.zip`, `/uploads/${id}/..%2f..%2f..%2fkey.json`, '/uploads/x/a.zip', '/%zz', '/']
    for (const url of [begun, ...paths.map((path) => `http://127.0.0.1:${port}/files${path}`)]) {
      const response = await post(`/${endpoint}`, { training_data_url: url })
      expect([response.status, await response.json()]).toMatchObject([
        422,
        { detail: [{ type: 'file_download_error' }] },
      ])
    }
  })

  it('on another server stays as it is, also with a similar path', async () => {
    const url = 'https://example.com/files/a?b#c'
    expect((await submit({ training_data_url: url })).request?.parameters).toEqual({ training_data_url: url })
  })

  it.each(['http://127.0.0.1:1/files/uploads/a', 'http://[::1]/a', 'https://user:password@example.com/files/a'])(
    'must not have a login or a private address: %s',
    async (url) => {
      const refused = await findings({ training_data_url: url })
      expect(refused).toMatchObject([{ loc: ['body', 'training_data_url'], type: 'file_download_error' }])
    },
  )

  it('may be the bytes themselves, which are stored if everything else is right', async () => {
    const bytes = `data:audio/wav;base64,${Buffer.from('sound').toString('base64')}`
    const validation = [{ prompt: 'p', reference_audio_url: bytes }, { reference_audio_url: 'data:,a%20b' }]
    const { request, data } = await submit({ training_data_url, validation })
    const [first, second] = (request?.parameters.validation ?? []) as { prompt?: string; reference_audio_url: string }[]
    const contentOf = (place = '') => readFileSync(join(data, 'files', place.slice('server-file:'.length)), 'utf8')
    expect([first?.prompt, contentOf(first?.reference_audio_url)]).toEqual(['p', 'sound'])
    expect(first?.reference_audio_url).toMatch(/\/data\.wav$/)
    expect(contentOf(second?.reference_audio_url)).toBe('a b')
    const refused = await submit({ training_data_url, validation, rank: 0 })
    const uploads = join(refused.data, 'files', 'uploads')
    expect(existsSync(uploads) ? readdirSync(uploads) : []).toEqual([])
  })
})

describe('what is said beside the input', () => {
  it.each([
    [{ 'x-fal-queue-priority': 'high' }, '', ['header', 'x-fal-queue-priority']],
    [{ 'x-fal-request-timeout': '-1' }, '', ['header', 'x-fal-request-timeout']],
    [{ 'x-fal-request-timeout': 'soon' }, '', ['header', 'x-fal-request-timeout']],
    [{}, '?fal_webhook=ftp://example.com', ['query', 'fal_webhook']],
    [{ 'x-fal-request-timeout': '1e300' }, '', ['header', 'x-fal-request-timeout']],
    [{}, '?fal_webhook=hook', ['query', 'fal_webhook']],
    [{}, '?fal_webhook=http://example.com/%00a', ['query', 'fal_webhook']],
    [{}, '?fal_webhook=http://169.254.169.254/', ['query', 'fal_webhook']],
  ])('is checked: %j %s', async (headers, query, loc) => {
    const { post, queue } = await serve()
    const response = await post(`/${endpoint}${query}`, { training_data_url }, headers as Record<string, string>)
    expect([response.status, await response.json()]).toMatchObject([422, { detail: [{ loc }] }])
    expect(queue.requests.size).toBe(0)
  })
})
