import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readJobFile } from '../../src/config/job-file.ts'
import { UserError } from '../../src/platform/errors.ts'

let folder: string
const before = process.cwd()

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-job-'))
  process.chdir(folder)
})

afterEach(() => process.chdir(before))

const read = (content: string | Uint8Array, path = 'job.json') => {
  writeFileSync(path, content)
  return readJobFile(path)
}

describe('a job file', () => {
  it('is a JSON object of parameters', () =>
    expect(read('{ "rank": 8, "validation": [] }')).toEqual({ rank: 8, validation: [] }))

  it('can be the config.json of a run, which names its parameters, but not for its folder', () => {
    const parameters = { training_data_url: 'pairs', rank: 3, out: 'runs/first' }
    const config = {
      tool: 'ltx-a2a',
      training_type: 'audio_to_audio_lora',
      trigger_phrase: 'x',
      parameters,
      changes: [],
    }
    expect(read(JSON.stringify(config), 'config.json')).toEqual({ training_data_url: 'pairs', rank: 3 })
    expect(read('{ "parameters": { "rank": 8 } }')).toEqual({ parameters: { rank: 8 } })
    expect(read('{ "tool": "ltx-a2a", "parameters": [] }')).toEqual({ tool: 'ltx-a2a', parameters: [] })
  })

  it('may begin with a byte order mark', () => expect(read('\uFEFF{ "rank": 8 }')).toEqual({ rank: 8 }))

  it.each<[what: string, content: string | Uint8Array, sentence: string]>([
    ['not JSON', '{ "rank": 8, }', 'job.json is not JSON'],
    ['empty', '', 'job.json is not JSON'],
    ['a list', '[1]', 'job.json is not a JSON object but a list'],
    ['null', 'null', 'job.json is not a JSON object but null'],
    ['a string', '"x"', 'job.json is not a JSON object but "x"'],
    ['in another encoding', Uint8Array.of(0x7b, 0xff, 0x7d), 'job.json is not UTF-8 text'],
    ['ambiguous', '{ "rank": 8, "seed": 1, "rank": 16 }', 'job.json has rank twice'],
    [
      'with a name twice in a list',
      '{ "validation": [{ "prompt": "a", "prompt": "b" }] }',
      'job.json has prompt twice',
    ],
    ['too large', ' '.repeat(1_000_001), 'job.json has more than 1000000 bytes'],
  ])('is refused when it is %s', (_, content, sentence) => {
    expect(() => read(content)).toThrow(sentence)
    expect(() => read(content)).toThrow(UserError)
  })

  it('is refused when it is missing, a folder or endless', () => {
    expect(() => readJobFile('gone.json')).toThrow('gone.json cannot be read')
    expect(() => readJobFile(folder)).toThrow('cannot be read')
    expect(() => readJobFile('/dev/zero')).toThrow('/dev/zero has more than 1000000 bytes')
  })
})

describe('a path in a job file', () => {
  const job = JSON.stringify({
    training_data_url: 'pairs.zip',
    model: 'base.safetensors',
    out: 'run',
    trigger_phrase: 'pairs.zip',
    validation: [{ prompt: 'pairs.zip', reference_audio_url: 'ref.wav' }],
  })

  beforeEach(() => {
    mkdirSync('jobs')
    for (const name of ['pairs.zip', 'base.safetensors', 'ref.wav', 'run']) writeFileSync(join('jobs', name), '')
  })

  it('is resolved against the folder of the job file when the current folder has no such file', () => {
    expect(read(job, 'jobs/job.json')).toEqual({
      training_data_url: join('jobs', 'pairs.zip'),
      model: join('jobs', 'base.safetensors'),
      out: 'run',
      trigger_phrase: 'pairs.zip',
      validation: [{ prompt: 'pairs.zip', reference_audio_url: join('jobs', 'ref.wav') }],
    })
  })

  it('is resolved against the current folder first', () => {
    writeFileSync('pairs.zip', '')
    expect(read(job, 'jobs/job.json')).toMatchObject({
      training_data_url: 'pairs.zip',
      model: join('jobs', 'base.safetensors'),
    })
  })

  it('is unchanged when neither folder has the file', () => {
    expect(read('{ "training_data_url": "gone.zip" }', 'jobs/job.json')).toEqual({ training_data_url: 'gone.zip' })
  })

  it('is unchanged when it is a URL or absolute', () => {
    for (const path of ['https://example.com/pairs.zip', 'file:///pairs.zip', join(folder, 'pairs.zip')])
      expect(read(JSON.stringify({ training_data_url: path }), 'jobs/job.json')).toEqual({ training_data_url: path })
  })
})
