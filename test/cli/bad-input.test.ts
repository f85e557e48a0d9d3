import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { ltxA2a, newFolder, projectPath } from './bin.ts'

const zip = (path: string) => projectPath(`fixtures/zips/${path}.zip`)

let cwd: string
beforeAll(() => {
  cwd = newFolder()
  mkdirSync(join(cwd, 'not-a-run'))
  writeFileSync(join(cwd, 'not-a-run', 'notes.txt'), '')
  writeFileSync(join(cwd, 'rank-0.json'), '{ "training_data_url": "pairs.zip", "rank": 0 }')
  writeFileSync(join(cwd, 'typo.json'), '{ "training_data_url": "pairs.zip", "numbr_of_steps": 100 }')
  writeFileSync(join(cwd, 'list.json'), '[]')
  writeFileSync(join(cwd, 'not-weights.safetensors'), 'not weights')
})

/** Expects exit code 2, an empty stdout and no stack trace. @returns stderr. */
async function refusal(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ltxA2a(args, { cwd, env: { LTX_A2A_CACHE: join(cwd, 'cache') } })
  expect([code, stdout], stderr).toEqual([2, ''])
  expect(stderr).not.toMatch(/^\s+at /m)
  return stderr
}

const train = ['train', '--backend', 'wasm', '--data']

it('a usage error is printed as JSON with --json-progress', async () => {
  const stderr = await refusal(['train', '--json-progress', '--nope'])
  expect(
    stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([{ type: 'error', message: expect.stringContaining("unknown option '--nope'") }])
})

it('an output folder with a name that is too long is refused', async () => {
  const name = 'x'.repeat(300)
  const data = [zip('valid/ten-pairs'), '--audio-duration-seconds', '1', '--out', name]
  expect(await refusal([...train, ...data])).toContain('name too long')
})

describe('a usage error names the problem or suggests the intended name: ', () => {
  it.each<[args: string, sentence: string]>([
    ['trian', "error: unknown command 'trian'\n(Did you mean train?)"],
    ['train --rnak 32', "error: unknown option '--rnak'\n(Did you mean --rank?)"],
    ['train --number_of_steps 100', "error: unknown option '--number_of_steps'\n(Did you mean --number-of-steps?)"],
    ['train --rank', "error: option '--rank <number>' argument missing"],
    ['preview --lora', "error: option '--lora <file>' argument missing"],
    ['train pairs.zip', 'error: too many arguments'],
    ['inspect-dataset a.zip b.zip', 'error: too many arguments'],
  ])('%s', async (line, sentence) => expect(await refusal(line.split(' '))).toContain(sentence))
})

describe('invalid parameters are reported in one sentence with a hint: ', () => {
  it.each<[args: string[], sentence: string, hint: string]>([
    [['train'], 'training_data_url is missing', 'give it as --data <zip>'],
    [
      ['train', '--data', 'a.zip', '--rank', '0'],
      'rank must be a whole number from 1 to 1024, not 0',
      'correct --rank, or leave it out for 32',
    ],
    [
      ['train', '--data', 'a.zip', '--number-of-steps', '0'],
      'number_of_steps must be a whole number from 1 to 1000000, not 0',
      'correct --number-of-steps',
    ],
    [
      ['train', '--data', 'a.zip', '--learning-rate', 'fast'],
      'learning_rate must be a number above 0 and at most 1, not "fast"',
      'correct --learning-rate',
    ],
    [
      ['train', '--data', 'a.zip', '--split-input-into-scenes'],
      'split_input_into_scenes cannot be true',
      'cut long recordings',
    ],
    [
      ['train', '--data', 'a.zip', '--validation-prompt', 'x'],
      '1 validation prompt but 0 validation references',
      '--validation-reference',
    ],
    [
      ['train', '--config', 'rank-0.json'],
      'rank must be a whole number from 1 to 1024, not 0',
      'correct it in rank-0.json',
    ],
    [
      ['train', '--config', 'typo.json'],
      'typo.json has the unknown parameter "numbr_of_steps"',
      'did you mean number_of_steps?',
    ],
    [['train', '--config', 'list.json'], 'list.json is not a JSON object but a list', 'training_data_url'],
    [['train', '--config', 'gone.json'], 'gone.json cannot be read', '--config'],
    [
      ['train', '--config', 'rank-0.json', '--resume', 'run'],
      'both --config rank-0.json and --resume run were given',
      'leave --config out',
    ],
    [['train', '--resume', 'not-a-run'], 'not-a-run is not a run of ltx-a2a', ''],
    [['train', '--resume', 'latest'], 'there is no run', ''],
    [['inspect-dataset', 'a.zip', '--data', 'b.zip'], 'two datasets were given: a.zip and b.zip', 'keep one'],
    [['preview'], 'reference is missing', 'give it as --ref <file>'],
    [
      ['preview', '--ref', 'a.wav', '--steps', '0'],
      'steps must be a whole number from 1 to 1000, not 0',
      'correct --steps',
    ],
    [['preview', '--ref', 'a.wav', '--lora-strength', '1'], '1 --lora-strength but 0 --lora were given', 'one --lora'],
  ])('%j', async (args, sentence, hint) => {
    const stderr = await refusal(args)
    expect(stderr.startsWith(`error: ${sentence}`), stderr).toBe(true)
    expect(stderr.split('\n')[1]).toContain('hint: ')
    expect(stderr.split('\n')[1]).toContain(hint)
  })
})

describe('invalid training data is reported before anything is written: ', () => {
  it.each<[sentence: string, args: string[]]>([
    ['gone.zip', ['gone.zip']],
    ['web-page.zip', [zip('invalid/web-page')]],
    ['empty-file.zip', [zip('invalid/empty-file')]],
    ['drums_end.wav has no reference', [zip('invalid/reference-missing-for-drums'), '--audio-duration-seconds', '1']],
    ['try --audio-duration-seconds 1', [zip('valid/ten-pairs')]],
    ['s3: locations are not supported', ['s3://bucket/pairs.zip']],
  ])('%s', async (sentence, args) => {
    const stderr = await refusal([...train, ...args, '--out', 'run'])
    expect(stderr).toContain('error: ')
    expect(stderr).toContain(sentence)
    expect(await refusal(['train', '--resume', 'run'])).toContain('run is not a run of ltx-a2a')
  })
})

describe('with --json-progress an error has a code: ', () => {
  it.each<[code: string | undefined, args: string[], context?: object]>([
    ['file_download_error', ['gone.zip']],
    ['invalid_archive', [zip('invalid/web-page')]],
    ['invalid_archive', [zip('invalid/empty-file')]],
    ['audio_duration_too_short', [zip('valid/ten-pairs')], { min_duration: 5, provided_duration: 1 }],
    ['feature_not_supported', ['a.zip', '--split-input-into-scenes']],
    [undefined, ['a.zip', '--rank', '0']],
  ])('%s', async (code, args, context) => {
    const stderr = await refusal([...train, ...args, '--json-progress'])
    const error = JSON.parse(stderr.trim().split('\n').at(-1) ?? '')
    expect(error).toMatchObject({ type: 'error', ...(code && { code }), ...(context && { context }) })
    expect(error.code).toBe(code)
  })
})

describe('an invalid model, file or folder is reported before training: ', () => {
  const data = [...train, zip('valid/mac-leftovers-and-folders'), '--audio-duration-seconds', '1']
  const textEncoder = ['--text-encoder', projectPath('test/base/gemma3-tiny')]
  const preview = ['preview', '--backend', 'wasm', '--ref', projectPath('fixtures/demo/held-out/voice_start.flac')]
  it.each<[sentence: string, args: string[]]>([
    ['list.json is a file', [...data, '--out', 'list.json']],
    ['list.json is a file', [...data, '--out', 'list.json/run']],
    [
      'not-weights.safetensors is not a usable safetensors file',
      [...data, '--model', 'not-weights.safetensors', ...textEncoder],
    ],
    ['needs a text encoder', [...data, '--model', projectPath('test/base/ltx-2.3-tiny-audio.safetensors')]],
    ['gone.safetensors', [...data, '--model', 'gone.safetensors', ...textEncoder]],
    ['not-a-run', [...data, '--text-encoder', 'not-a-run']],
    ['gone.wav', [...data, '--validation-reference', 'gone.wav']],
    ['gone.wav', ['preview', '--backend', 'wasm', '--ref', 'gone.wav']],
    ['not-weights.safetensors is not a usable safetensors file', [...preview, '--lora', 'not-weights.safetensors']],
  ])('%s', async (sentence, args) => expect(await refusal(args)).toContain(sentence))
})
