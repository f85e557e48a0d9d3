/** Errors that show only when the inputs are read name the parameter that is to be changed, and where in its value. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noise, tinyOptions, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { apply } from '../../src/apply/apply.ts'
import type { ApplyOptions, PreviewOptions, TrainOptions } from '../../src/config/settings.ts'
import { openBase } from '../../src/model/base-model.ts'
import type { UserErrorOptions } from '../../src/platform/errors.ts'
import { preview } from '../../src/preview/preview.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import { train } from '../../src/train/train.ts'
import { inFolder } from '../cli/bin.ts'
import { copyCheckpoint, leaveOutVocoder } from '../fixtures/checkpoint-copy.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
beforeAll(() => {
  writeTinyData(folder)
  for (const name of ['page.zip', 'page.wav', 'page.safetensors'])
    writeFileSync(join(folder, name), '<html>'.repeat(2000))
  writeFileSync(join(folder, 'short.wav'), noise('short', 0.05))
  const { checkpoint, close } = openBase()
  copyCheckpoint(checkpoint, join(folder, 'silent.safetensors'), { tensor: leaveOutVocoder })
  close()
})
afterAll(() => rmSync(folder, { recursive: true }))

type Expected = Pick<UserErrorOptions, 'parameter' | 'code' | 'place'>

const reason = (work: Promise<unknown>) =>
  work.then(
    () => ({}),
    ({ parameter, code, place, message }) => ({ parameter, code, place, message }),
  )
const expectReason = async (work: () => Promise<unknown>, expected: Expected) =>
  expect(await inFolder({ cwd: folder }, () => reason(work()))).toEqual({
    ...{ code: undefined, place: undefined, message: expect.any(String) },
    ...expected,
  })
const gone = 'file_download_error'
const validation = (...references: string[]) => ({
  validation: references.map((referenceAudioUrl) => ({ prompt: 'wind', referenceAudioUrl })),
})

describe('train', () => {
  it.each<[Partial<TrainOptions>, Expected]>([
    [{ data: 'gone.zip' }, { parameter: 'training_data_url', code: gone }],
    [{ data: 'page.zip' }, { parameter: 'training_data_url', code: 'invalid_archive' }],
    [{ audioDurationSeconds: 5 }, { parameter: 'training_data_url', code: 'audio_duration_too_short' }],
    [{ holdoutData: 'gone.zip' }, { parameter: 'holdout_data', code: gone }],
    [{ holdoutData: 'pairs' }, { parameter: 'holdout_data' }],
    [validation('ref.wav', 'gone.wav'), { parameter: 'validation', code: gone, place: [1, 'reference_audio_url'] }],
    [
      validation('page.wav'),
      { parameter: 'validation', code: 'unsupported_audio_format', place: [0, 'reference_audio_url'] },
    ],
    [
      validation('short.wav'),
      { parameter: 'validation', code: 'audio_duration_too_short', place: [0, 'reference_audio_url'] },
    ],
    [{ model: 'gone.safetensors' }, { parameter: 'model', code: gone }],
    [{ model: 'page.safetensors' }, { parameter: 'model' }],
    [{ textEncoder: 'gone' }, { parameter: 'text_encoder' }],
    [{ textEmbeddings: 'gone.safetensors' }, { parameter: 'text_embeddings', code: gone }],
    [{ textEmbeddings: 'page.safetensors' }, { parameter: 'text_embeddings' }],
    [{ targetModules: ['to_nothing'] }, { parameter: 'target_modules' }],
    [{ model: 'silent.safetensors', renderer: 'vocoder' }, { parameter: 'renderer' }],
  ])('%j', (changes, expected) => {
    const onEvent = ({ type }: TrainEvent) => {
      if (type === 'run') throw new Error('the training has begun')
    }
    return expectReason(() => train({ ...tinyOptions, ...changes }, { onEvent }), expected)
  })
})

describe('preview', () => {
  it.each<[Partial<PreviewOptions>, Expected]>([
    [{ reference: 'gone.wav' }, { parameter: 'reference', code: gone }],
    [{ reference: 'page.wav' }, { parameter: 'reference', code: 'unsupported_audio_format' }],
    [{ lora: ['page.safetensors'] }, { parameter: 'lora' }],
    [{ lora: ['gone.safetensors'] }, { parameter: 'lora', code: gone }],
    [{ loraStrength: [1] }, { parameter: 'lora_strength' }],
  ])('%j', (changes, expected) =>
    expectReason(() => preview({ reference: 'ref.wav', prompt: 'wind', ...changes }), expected),
  )
})

describe('apply', () => {
  it.each<[Partial<ApplyOptions>, Expected]>([
    [{ in: 'gone.wav' }, { parameter: 'inputs', code: gone }],
    [{ in: ['ref.wav', 'gone.wav'] }, { parameter: 'inputs', code: gone, place: [1] }],
    [{ lora: 'page.safetensors' }, { parameter: 'lora' }],
  ])('%j', (changes, expected) =>
    expectReason(() => apply({ in: 'ref.wav', out: 'out', prompt: 'wind', ...changes }), expected),
  )
})
