import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  jobOf,
  resolveEncodeSettings,
  resolveInspectSettings,
  resolvePreviewSettings,
  resolveTrainSettings,
} from '../../src/config/settings.ts'
import type { Flags } from '../../src/config/values.ts'
import { UserError } from '../../src/platform/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-config-'))
let files = 0

function jobFile(job: unknown): string {
  const path = join(folder, `job-${files++}.json`)
  writeFileSync(path, typeof job === 'string' ? job : JSON.stringify(job))
  return path
}

const data = { trainingDataUrl: 'pairs.zip' }
const byFlags = (flags: Flags) => resolveTrainSettings({ flags: { ...data, ...flags } }).settings
const byJob = (job: object, flags: Flags = {}) =>
  resolveTrainSettings({ flags, configFile: jobFile({ training_data_url: 'pairs.zip', ...job }) })

/** The error as its message and its hint. */
function refusal(resolve: () => unknown): { message: string; hint?: string | undefined } {
  try {
    resolve()
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return { message: error.message, hint: error.hint }
  }
  throw new Error('no UserError was thrown')
}

describe('the defaults', () => {
  it('of shared parameters are those of the hosted trainer', () => {
    expect(byFlags({})).toMatchObject({
      trainingDataUrl: 'pairs.zip',
      triggerPhrase: '',
      rank: 32,
      numberOfSteps: 2000,
      learningRate: 0.0002,
      audioDurationSeconds: 5,
      audioNormalize: true,
      audioPreservePitch: true,
      splitInputIntoScenes: false,
      splitInputDurationThreshold: 30,
      validation: [],
      validationFrameRate: 24,
      stgScale: 1,
      debugDataset: false,
    })
  })

  it('of the extensions are as documented', () => {
    expect(byFlags({})).toMatchObject({
      seed: 42,
      alpha: 32,
      checkpointInterval: 250,
      previewInterval: 250,
      previewSteps: 30,
      previewCfg: 7,
      gradientAccumulation: 1,
      learningRateSchedule: 'linear',
      backend: 'auto',
      recompute: 'auto',
      ignoreRequirements: false,
      out: undefined,
      model: undefined,
      textEncoder: undefined,
      holdout: 0,
      holdoutData: undefined,
      holdoutPreviews: 2,
      evalInterval: undefined,
      patience: 0,
      ema: 0,
    })
    expect(byFlags({}).targetModules).toHaveLength(10)
  })

  it('of alpha and of prompts are the rank and the trigger phrase', () => {
    expect(byFlags({ rank: '64' }).alpha).toBe(64)
    expect(byFlags({ rank: '64', alpha: '16' }).alpha).toBe(16)
    expect(byFlags({ triggerPhrase: 'tonech4nge', validationReference: ['a.wav'] }).validation).toEqual([
      { prompt: 'tonech4nge', referenceAudioUrl: 'a.wav' },
    ])
  })

  it('contain the same default negative prompt as those of a preview, so that encoded captions serve both', () => {
    const { negativePrompt } = resolvePreviewSettings({ flags: { reference: 'ref.wav' } })
    expect(byFlags({}).validationNegativePrompt).toBe(negativePrompt)
    expect(resolveEncodeSettings({ flags: data, out: 'captions.safetensors' }).settings.prompts).toContain(
      negativePrompt,
    )
    expect(negativePrompt.split(', ').length).toBeGreaterThan(5)
  })
})

describe('settings', () => {
  it.each([
    [null, 'the options are null, not an object'],
    ['pairs.zip', 'the options are "pairs.zip", not an object'],
    [[1], 'the options are a list of 1, not an object'],
  ])('are refused when the options are %j', (options, message) => {
    for (const resolve of [resolveTrainSettings, resolveInspectSettings])
      expect(refusal(() => resolve({ options: options as never })).message).toBe(message)
  })

  it('are frozen', () => expect(Object.isFrozen(byFlags({}))).toBe(true))

  it('join the files of a model into one comma-separated string', () => {
    expect(byFlags({ model: 'a,b' }).model).toBe('a,b')
    expect(byFlags({ model: ['a'] }).model).toBe('a')
    expect(byFlags({ model: ['a', 'b,c'] }).model).toBe('a,b,c')
    expect(refusal(() => byFlags({ model: [''] })).message).toBe('model must be a path that is not empty, not ""')
  })

  it('are unchanged after a round trip through a job file', () => {
    const settings = byFlags({
      rank: '8',
      alpha: '4',
      triggerPhrase: 'x',
      audioNormalize: false,
      targetModules: ['to_q,to_k'],
      validationReference: ['a.wav', 'b.wav'],
      validationPrompt: ['first'],
      backend: 'wasm',
      recompute: 'on',
      ignoreRequirements: true,
      holdout: '12.5%',
      patience: '3',
      ema: '0.99',
    })
    const job = JSON.parse(JSON.stringify(jobOf(settings)))
    expect(resolveTrainSettings({ flags: {}, configFile: jobFile(job) }).settings).toEqual(settings)
    expect(job).toMatchObject({
      number_of_steps: 2000,
      validation: [{ prompt: 'first', reference_audio_url: 'a.wav' }, {}],
    })
  })

  it('of a resumed run are overridden by flags, and are not compared with the hosted trainer again', () => {
    const job = jobOf(byFlags({ numberOfSteps: '4', rank: '3', model: 'a' }))
    const { settings, notices } = resolveTrainSettings({
      flags: { checkpointInterval: '2' },
      savedJob: { job, file: 'run/config.json' },
    })
    expect(settings).toMatchObject({ numberOfSteps: 4, rank: 3, checkpointInterval: 2 })
    expect(notices).toEqual([])
  })
})

describe('a job file', () => {
  it('of the hosted trainer is accepted unchanged', () => {
    const job = `{ "training_data_url": "pairs.zip", "trigger_phrase": "tonech4nge", "rank": 32, "number_of_steps": 2000, "learning_rate": 0.0002, "audio_duration_seconds": 5.0,
      "validation": [ { "prompt": "tonech4nge", "reference_audio_url": "ref.wav" } ] }`
    const { settings, notices } = resolveTrainSettings({ flags: {}, configFile: jobFile(job) })
    expect(settings).toMatchObject({
      trainingDataUrl: 'pairs.zip',
      triggerPhrase: 'tonech4nge',
      rank: 32,
      numberOfSteps: 2000,
      learningRate: 0.0002,
      audioDurationSeconds: 5,
      validation: [{ prompt: 'tonech4nge', referenceAudioUrl: 'ref.wav' }],
    })
    expect(notices).toEqual([])
  })

  it('is overridden by flags, even where its own value is invalid', () => {
    const { settings } = byJob(
      { rank: 0, seed: 1, debug_dataset: true },
      { rank: '16', trainingDataUrl: 'b.zip', debugDataset: false },
    )
    expect(settings).toMatchObject({ rank: 16, seed: 1, trainingDataUrl: 'b.zip', debugDataset: false })
    expect(
      byJob({ validation: [{ reference_audio_url: 'a' }] }, { validationReference: ['b'] }).settings.validation,
    ).toEqual([{ prompt: '', referenceAudioUrl: 'b' }])
  })

  it('accepts data as a short name of training_data_url, but not both', () => {
    expect(resolveTrainSettings({ flags: {}, configFile: jobFile({ data: 'a.zip' }) }).settings.trainingDataUrl).toBe(
      'a.zip',
    )
    expect(refusal(() => byJob({ data: 'a.zip' })).message).toMatch(
      /has both training_data_url and its short name data$/,
    )
  })

  it('accepts video fields of any value and reports that they have no effect', () => {
    const { notices } = byJob({ resolution: 'high', number_of_frames: null, first_frame_conditioning_p: { x: 1 } })
    expect(notices).toEqual([
      'no effect, because only audio is trained: resolution, number_of_frames, first_frame_conditioning_p',
    ])
  })
})

describe('video flags', () => {
  it('are reported together with video fields, once each', () => {
    expect(byJob({ frame_rate: 24 }, { frameRate: '25', withAudio: true }).notices).toEqual([
      'no effect, because only audio is trained: frame_rate, with_audio',
    ])
  })
})

describe('a value of a job file is refused: ', () => {
  it.each<[job: object, message: string]>([
    [{ rank: 1025 }, 'rank must be a whole number from 1 to 1024, not 1025'],
    [{ rank: '32' }, 'rank must be a whole number from 1 to 1024, not "32"'],
    [{ number_of_steps: 0 }, 'number_of_steps must be a whole number from 1 to 1000000, not 0'],
    [{ number_of_steps: 1000001 }, 'number_of_steps must be a whole number from 1 to 1000000, not 1000001'],
    [{ number_of_steps: 100.5 }, 'number_of_steps must be a whole number from 1 to 1000000, not 100.5'],
    [{ number_of_steps: true }, 'number_of_steps must be a whole number from 1 to 1000000, not true'],
    [{ keep_checkpoints: 0 }, 'keep_checkpoints must be all or a whole number from 1 to 1000000, not 0'],
    [{ keep_checkpoints: 'none' }, 'keep_checkpoints must be all or a whole number from 1 to 1000000, not "none"'],
    [{ learning_rate: 0 }, 'learning_rate must be a number above 0 and at most 1, not 0'],
    [{ learning_rate: -0.1 }, 'learning_rate must be a number above 0 and at most 1, not -0.1'],
    [{ audio_duration_seconds: 0.09 }, 'audio_duration_seconds must be a number from 0.1 to 60, not 0.09'],
    [{ audio_duration_seconds: 61 }, 'audio_duration_seconds must be a number from 0.1 to 60, not 61'],
    [{ split_input_duration_threshold: 0 }, 'split_input_duration_threshold must be a number from 1 to 60, not 0'],
    [{ validation_frame_rate: 0 }, 'validation_frame_rate must be a number from 1 to 1000, not 0'],
    [{ stg_scale: 10.1 }, 'stg_scale must be a number from 0 to 10, not 10.1'],
    [{ seed: -1 }, 'seed must be a whole number from 0 to 4294967295, not -1'],
    [{ trigger_phrase: null }, 'trigger_phrase must be text, not null'],
    [{ trigger_phrase: ['x'] }, 'trigger_phrase must be text, not a list of 1'],
    [{ trigger_phrase: '  ' }, 'trigger_phrase must be more than blanks, not "  "'],
    [{ trigger_phrase: '\u00a0\u200b' }, 'trigger_phrase must be more than blanks, not "\u00a0\u200b"'],
    [{ trigger_phrase: 'a\nb' }, 'trigger_phrase must be one line without control characters, not "a\\nb"'],
    [{ trigger_phrase: 'a\u001b[2J' }, 'trigger_phrase must be one line without control characters, not "a\\u001b[2J"'],
    [
      { trigger_phrase: 'a'.repeat(10_000) },
      `trigger_phrase must be at most 500 characters long, not "${'a'.repeat(79)}…`,
    ],
    [
      { validation_negative_prompt: 'a\0b' },
      'validation_negative_prompt must be text without NUL characters and unpaired surrogates, not "a\\u0000b"',
    ],
    [{ audio_normalize: 'true' }, 'audio_normalize must be true or false, not "true"'],
    [{ audio_preserve_pitch: 1 }, 'audio_preserve_pitch must be true or false, not 1'],
    [{ training_data_url: ' ' }, 'training_data_url must be a path that is not empty, not " "'],
    [{ training_data_url: {} }, 'training_data_url must be a path, not an object'],
    [{ out: 'a\0b' }, 'out must be a path that is not empty, not "a\\u0000b"'],
    [{ target_modules: [] }, 'target_modules must be a list with at least one entry, not a list of 0'],
    [{ target_modules: 'to_q' }, 'target_modules must be a list with at least one entry, not "to_q"'],
    [{ target_modules: ['to_q', 1] }, 'target_modules[1] must be a name, not 1'],
    [{ target_modules: [''] }, 'target_modules[0] must be a name that is not empty, not ""'],
    [{ target_modules: ['to_q', ' '] }, 'target_modules[1] must be a name that is not empty, not " "'],
    [{ backend: 'gpu' }, 'backend must be one of auto, tensorflow, webgpu, wasm, cpu, not "gpu"'],
    [{ recompute: true }, 'recompute must be one of auto, on, off, not true'],
    [{ ignore_requirements: 'yes' }, 'ignore_requirements must be true or false, not "yes"'],
    [
      { learning_rate_schedule: 'Linear' },
      'learning_rate_schedule must be one of linear, constant, cosine, not "Linear"',
    ],
    [{ validation: {} }, 'validation must be a list of {prompt, reference_audio_url}, not an object'],
    [{ validation: ['a.wav'] }, 'validation[0] must be an object {prompt, reference_audio_url}, not "a.wav"'],
    [{ validation: [{ prompt: 'x' }] }, 'validation[0].reference_audio_url is missing'],
    [
      { validation: [{ reference_audio_url: 'a' }, { reference_audio_url: '' }] },
      'validation[1].reference_audio_url must be a path that is not empty, not ""',
    ],
    [
      { validation: Array.from({ length: 17 }, () => ({ reference_audio_url: 'a' })) },
      'validation must have at most 16 entries, not a list of 17',
    ],
    [{ trigger_phrase: 5, rank: 32 }, 'trigger_phrase must be text, not 5'],
  ])('%j', (job, message) => expect(refusal(() => byJob(job)).message).toBe(message))

  it('with a hint that names the file and the default', () => {
    expect(refusal(() => byJob({ rank: 0 })).hint).toMatch(/^correct it in .*job-\d+\.json, or leave it out for 32$/)
  })

  it('with a short message for a long value', () => {
    expect(refusal(() => byJob({ audio_normalize: 'x'.repeat(100_000) })).message.length).toBeLessThan(150)
  })

  it('1e999, which is parsed as Infinity', () => {
    const configFile = jobFile('{ "training_data_url": "a.zip", "learning_rate": 1e999 }')
    expect(refusal(() => resolveTrainSettings({ flags: {}, configFile })).message).toBe(
      'learning_rate must be a number above 0 and at most 1, not Infinity',
    )
  })
})

describe('an unknown name is refused with a suggestion: ', () => {
  it.each([
    ['numbr_of_steps', 'number_of_steps'],
    ['numberOfSteps', 'number_of_steps'],
    ['number-of-steps', 'number_of_steps'],
    ['Rank', 'rank'],
    ['lora_rank', 'rank'],
    ['resolutoin', 'resolution'],
    ['trigger_word', 'trigger_phrase'],
  ])('%s', (name, known) => {
    const { message, hint } = refusal(() => byJob({ [name]: 1 }))
    expect(message).toMatch(new RegExp(`job-\\d+\\.json has the unknown parameter "${name}"$`))
    expect(hint).toBe(`did you mean ${known}?`)
  })

  it('inside validation', () => {
    const { message, hint } = refusal(() => byJob({ validation: [{ reference_audio_url: 'a', promt: 'x' }] }))
    expect(message).toMatch(/has the unknown parameter "validation\[0\]\.promt"$/)
    expect(hint).toBe('did you mean validation[0].prompt?')
  })

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('for the name %s of Object.prototype', (name) => {
    const configFile = jobFile(`{ "training_data_url": "a.zip", "${name}": { "rank": 8 } }`)
    expect(refusal(() => resolveTrainSettings({ flags: {}, configFile })).message).toContain(
      `unknown parameter "${name}"`,
    )
    const nested = jobFile(
      `{ "training_data_url": "a.zip", "validation": [{ "reference_audio_url": "a", "${name}": {} }] }`,
    )
    expect(refusal(() => resolveTrainSettings({ flags: {}, configFile: nested })).message).toContain(name)
    expect(({} as { rank?: number }).rank).toBeUndefined()
  })
})

describe('a flag', () => {
  it('accepts decimal numbers', () => {
    expect(byFlags({ learningRate: '5e-5', seed: '007', stgScale: '.5', audioDurationSeconds: '+3.' })).toMatchObject({
      learningRate: 5e-5,
      seed: 7,
      stgScale: 0.5,
      audioDurationSeconds: 3,
    })
  })

  it.each(['', ' ', '0x10', '1_000', 'many', '12 ', 'NaN', 'Infinity', '1e', '--5'])(
    'is refused as a number when it is "%s"',
    (seed) => {
      const { message, hint } = refusal(() => byFlags({ seed }))
      expect(message).toBe(`seed must be a whole number from 0 to 4294967295, not "${seed}"`)
      expect(hint).toBe('correct --seed, or leave it out for 42')
    },
  )

  it('accepts true and false, and means true without a value', () => {
    expect(byFlags({ audioNormalize: 'false', audioPreservePitch: false, debugDataset: true })).toMatchObject({
      audioNormalize: false,
      audioPreservePitch: false,
      debugDataset: true,
    })
    expect(refusal(() => byFlags({ debugDataset: 'yes' })).message).toBe(
      'debug_dataset must be true or false, not "yes"',
    )
  })

  it('accepts target modules separated by commas, repeated, or both', () => {
    expect(byFlags({ targetModules: ['to_q, to_k', 'to_v'] }).targetModules).toEqual(['to_q', 'to_k', 'to_v'])
    expect(byJob({ target_modules: [' to_q'] }).settings.targetModules).toEqual(['to_q'])
  })

  it('with an empty target module, such as a comma at the end, is refused by its position', () => {
    expect(refusal(() => byFlags({ targetModules: ['to_q,'] }))).toEqual({
      message: 'entry 2 of --target-modules must be a name that is not empty, not ""',
      hint: 'correct --target-modules',
    })
  })

  it('keeps all checkpoints, or a number of them', () => {
    expect(byFlags({}).keepCheckpoints).toBe('all')
    expect(byFlags({ keepCheckpoints: 'all' }).keepCheckpoints).toBe('all')
    expect(byFlags({ keepCheckpoints: '3' }).keepCheckpoints).toBe(3)
  })

  it('combines validation references and prompts in order', () => {
    expect(byFlags({ validationReference: ['a.wav', 'b.wav'], validationPrompt: ['one', 'two'] }).validation).toEqual([
      { prompt: 'one', referenceAudioUrl: 'a.wav' },
      { prompt: 'two', referenceAudioUrl: 'b.wav' },
    ])
    expect(refusal(() => byFlags({ validationPrompt: ['one'] })).message).toBe(
      '1 validation prompt but 0 validation references were given',
    )
    expect(refusal(() => byFlags({ validationReference: Array.from({ length: 17 }, () => 'a') }))).toEqual({
      message: 'validation must have at most 16 entries, not a list of 17',
      hint: 'correct --validation-reference',
    })
  })
})

describe('held-out pairs', () => {
  it.each<[text: string, value: number]>([
    ['4', 4],
    ['0', 0],
    ['0.1', 0.1],
    ['10%', 0.1],
    ['12.5 %', 0.125],
  ])('can be given as %s, on the command line and in a job file', (text, value) => {
    expect(byFlags({ holdout: text }).holdout).toBe(value)
    expect(byJob({ holdout: text }).settings.holdout).toBe(value)
    expect(byJob({ holdout: value }).settings.holdout).toBe(value)
  })

  it.each(['1.0', '1.5', '-1', '100%', '120%', '%', 'some', ''])('are refused as %j', (text) => {
    const message = `holdout must be a whole number, or a share below 1 such as 0.1 or 10%, not ${JSON.stringify(text)}`
    expect(refusal(() => byFlags({ holdout: text })).message.replaceAll('"', '')).toBe(message.replaceAll('"', ''))
  })

  it('cannot come from two places', () => {
    const { message, hint } = refusal(() => byFlags({ holdout: '4', holdoutData: 'tests.zip' }))
    expect({ message, hint }).toEqual({
      message: 'both --holdout and --holdout-data are set',
      hint: 'keep one of them',
    })
    const both = { holdout: 4, holdout_data: 'tests.zip' }
    expect(refusal(() => byJob(both)).message).toBe('both holdout and holdout_data are set')
  })

  it('are needed for patience', () => {
    expect(refusal(() => byFlags({ patience: '2' })).message).toBe('--patience is 2, but no pairs are held out')
    expect(byFlags({ patience: '2', holdoutData: 'tests.zip' }).patience).toBe(2)
    expect(refusal(() => byFlags({ patience: '2', holdout: '3', evalInterval: '0' })).message).toBe(
      '--patience is 2, but --eval-interval 0 evaluates only at the end',
    )
  })

  it('of a data set beside the job file are found there, and encode-captions reads their captions', () => {
    writeFileSync(join(folder, 'tests.zip'), '')
    const configFile = jobFile({ training_data_url: 'pairs.zip', holdout_data: 'tests.zip' })
    expect(resolveTrainSettings({ configFile }).settings.holdoutData).toBe(join(folder, 'tests.zip'))
    const { settings } = resolveEncodeSettings({ flags: {}, configFile, out: 'captions.safetensors' })
    expect(settings.holdoutData).toBe(join(folder, 'tests.zip'))
  })
})

it('the decay of the moving average is below 1', () => {
  expect(byFlags({ ema: '0.999' }).ema).toBe(0.999)
  expect(refusal(() => byFlags({ ema: '1' })).message).toBe('ema must be a number from 0 to below 1, not 1')
})

describe('a trial run, which the hosted trainer would refuse', () => {
  const model = 'ltx-2.3.safetensors'
  const noticesOf = (flags: Flags) => resolveTrainSettings({ flags: { ...data, model, ...flags } }).notices

  it('has as few steps as 1 and any rank, and the ranges of the hosted trainer are named', () => {
    expect(byFlags({ numberOfSteps: '1', rank: '1' })).toMatchObject({ numberOfSteps: 1, rank: 1, alpha: 1 })
    expect(noticesOf({ numberOfSteps: '10', rank: '4', learningRate: '1e-7' })).toEqual([
      "fal.ai's hosted trainer of LTX-2.3 would not accept this job: rank is 4 (there: 8, 16, 32, 64 or 128), " +
        'number_of_steps is 10 (there: 100 to 20000), learning_rate is 1e-7 (there: 0.000001 to 1)',
    ])
  })

  it('is reported for a job file and a program, too', () => {
    const expected = [expect.stringContaining('number_of_steps is 20001 (there: 100 to 20000)')]
    expect(byJob({ number_of_steps: 20001, model }).notices).toEqual(expected)
    expect(byJob({ number_of_steps: 20001 }, { model }).notices).toEqual(expected)
    expect(resolveTrainSettings({ options: { data: 'a', numberOfSteps: 20001, model } }).notices).toEqual(expected)
  })

  it.each<[Flags, string]>([
    [{ audioDurationSeconds: '0.1' }, 'audio_duration_seconds is 0.1 (there: 0.5 to 60)'],
    [{ stgScale: '4' }, 'stg_scale is 4 (there: 0 to 3)'],
    [{ validationFrameRate: '100' }, 'validation_frame_rate is 100 (there: 8 to 60)'],
    [{ validationReference: ['a', 'b', 'c'] }, 'validation is a list of 3 (there: at most 2 entries)'],
  ])('because of %j', (flags, reason) => expect(noticesOf(flags)).toEqual([expect.stringContaining(reason)]))

  it('is not reported on the bundled base, which it does not train', () => {
    expect(noticesOf({ numberOfSteps: '10', rank: '4', model: undefined })).toEqual([])
    expect(byJob({ number_of_steps: 20001 }).notices).toEqual([])
    expect(resolveTrainSettings({ options: { data: 'a', numberOfSteps: 20001 } }).notices).toEqual([])
  })

  it('does not name parameters that it does not have, or values that it accepts', () => {
    expect(noticesOf({ alpha: '7', seed: '1', gradientAccumulation: '4', previewSteps: '1' })).toEqual([])
    expect(noticesOf({ numberOfSteps: '100', rank: '8', learningRate: '0.000001', stgScale: '3' })).toEqual([])
  })
})

describe('training is refused', () => {
  it('without data', () => {
    expect(refusal(() => resolveTrainSettings({ flags: {} }))).toEqual({
      message: 'training_data_url is missing',
      hint: 'give it as --data <zip>',
    })
  })

  it('with splitting into scenes', () => {
    const { message, hint } = refusal(() => byJob({ split_input_into_scenes: true }))
    expect(message).toMatch(/^split_input_into_scenes cannot be true: .*sync/)
    expect(hint).toMatch(/beforehand/)
  })
})

describe('inspecting a dataset', () => {
  it('accepts a training job, validates only its dataset parameters and needs no dataset', () => {
    const job = { rank: 24, audio_duration_seconds: 3, aspect_ratio: '1:1' }
    const { settings, notices } = resolveInspectSettings({ flags: { triggerPhrase: 'x' }, configFile: jobFile(job) })
    expect(settings).toMatchObject({ trainingDataUrl: undefined, audioDurationSeconds: 3, triggerPhrase: 'x' })
    expect(notices).toEqual(['no effect, because only audio is trained: aspect_ratio'])
  })

  it('refuses the dataset parameters that training refuses', () => {
    expect(refusal(() => resolveInspectSettings({ flags: { audioDurationSeconds: '0' } })).message).toContain(
      'from 0.1 to 60',
    )
    expect(refusal(() => resolveInspectSettings({ flags: { splitInputIntoScenes: true } })).message).toContain('sync')
    expect(refusal(() => resolveInspectSettings({ flags: {}, configFile: jobFile({ rnak: 8 }) })).hint).toBe(
      'did you mean rank?',
    )
  })
})

describe('a message about the options of a program uses its names: ', () => {
  const byOptions = (options: object) => refusal(() => resolveTrainSettings({ options: { data: 'a', ...options } }))

  it.each<[options: object, message: string]>([
    [{ numberOfSteps: 0 }, 'numberOfSteps must be a whole number from 1 to 1000000, not 0'],
    [{ data: ' ' }, 'data must be a path that is not empty, not " "'],
    [{ targetModules: ['to_q', ''] }, 'targetModules[1] must be a name that is not empty, not ""'],
    [{ validation: 5 }, 'validation[0] must be an object {prompt, referenceAudioUrl}, not 5'],
    [{ validation: [{ prompt: 'x' }] }, 'validation[0].referenceAudioUrl is missing'],
    [{ numbrOfSteps: 1 }, 'the options object has the unknown parameter "numbrOfSteps"'],
    [
      { validation: [{ referenceAudioUrl: 'a', promptText: 'x' }] },
      'the options object has the unknown parameter "validation[0].promptText"',
    ],
    [{ trainingDataUrl: 'b' }, 'the options object has both trainingDataUrl and its short name data'],
  ])('%j', (options, message) => expect(byOptions(options).message).toBe(message))

  it('in its hints, too', () => {
    expect(byOptions({ numbrOfSteps: 1 }).hint).toBe('did you mean numberOfSteps?')
    expect(byOptions({ validation: [{ referenceAudioUrl: 'a', promptText: 'x' }] }).hint).toBe(
      'did you mean validation[0].prompt?',
    )
    expect(byOptions({ rank: 0 }).hint).toBe('correct it in the options object, or leave it out for 32')
    expect(refusal(() => resolveTrainSettings({ options: {} }))).toEqual({
      message: 'data is missing',
      hint: 'give it in the options object',
    })
    expect(refusal(() => resolvePreviewSettings({ options: {} })).message).toBe('reference is missing')
  })

  it('but not a message about the job file that it changes', () => {
    const savedJob = { job: { training_data_url: 'a', number_of_steps: 0 }, file: 'config.json' }
    expect(refusal(() => resolveTrainSettings({ options: { rank: 8 }, savedJob })).message).toMatch(/^number_of_steps /)
  })
})
