/** The commands `train` and `preview` with a small dataset. */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tinyOptions, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { decodeWav, encodeWav } from '../../src/audio/wav.ts'
import { jobOf, resolveTrainSettings } from '../../src/config/settings.ts'
import { openSource } from '../../src/dataset/source.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { openBase } from '../../src/model/base-model.ts'
import { readLora } from '../../src/model/lora-file.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import { resumeTraining, train } from '../../src/train/train.ts'
import { inFolder, ltxA2a, spawnLtxA2a } from '../cli/bin.ts'
import { copyCheckpoint, leaveOutVocoder } from '../fixtures/checkpoint-copy.ts'

const demo = fileURLToPath(new URL('../../fixtures/demo', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
const run = (args: string[]) => ltxA2a(args, { cwd: folder })
beforeAll(() => writeTinyData(folder))
afterAll(() => rmSync(folder, { recursive: true }))

const read = (...path: string[]) => readFileSync(join(folder, ...path))
const metrics = (run: string) =>
  read(run, 'metrics.jsonl')
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

/** The parameters of a run that takes a few seconds. */
const small = ['--data', 'pairs', '--audio-duration-seconds', '0.5', '--rank', '4', '--preview-steps', '2']

describe('train', () => {
  it('writes a LoRA, previews, metrics and a config, and prints their paths in its last line', async () => {
    const { code, stdout, stderr } = await run([
      'train',
      ...small,
      ...[
        '--trigger-phrase',
        'n0ise',
        '--number-of-steps',
        '4',
        '--checkpoint-interval',
        '2',
        '--preview-interval',
        '2',
        '--alpha',
        '8',
      ],
      ...[
        '--validation-reference',
        'ref.wav',
        '--validation-reference',
        'ref.wav',
        '--validation-prompt',
        'n0ise',
        '--validation-prompt',
        'other',
      ],
      ...['--debug-dataset', '--out', 'whole'],
    ])
    expect(stderr).toContain('Base: the small bundled model')
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'whole\n' })
    expect(readdirSync(join(folder, 'whole')).sort()).toEqual([
      'audio.wav',
      'checkpoints',
      'config.json',
      'debug_dataset.zip',
      'lora.safetensors',
      'metrics.jsonl',
      'previews',
      'report.html',
      'state.safetensors',
      'tensorboard',
      'verdicts.json',
    ])
    expect(readdirSync(join(folder, 'whole', 'checkpoints'))).toEqual(['lora_weights_step_00002.safetensors'])
    expect(readdirSync(join(folder, 'whole', 'previews'))).toEqual(
      [1, 2].flatMap((n) => ['00000', '00002', '00004'].map((step) => `preview-${n}-${step}.wav`)),
    )
    expect(metrics('whole').map(({ step }) => step)).toEqual([0, 1, 2, 3, 4])
    const last = stderr.trim().split('\n').at(-1)
    expect(last).toMatch(
      /^Done in (\d+ min )?\d+ s: whole.lora\.safetensors, whole.audio\.wav, .*metrics\.jsonl, whole.debug_dataset\.zip\.$/,
    )
  })

  it('writes the given and the resolved parameters to config.json', () => {
    const config = JSON.parse(read('whole', 'config.json').toString())
    expect(config).toMatchObject({ tool: 'ltx-a2a', training_type: 'audio_to_audio_lora', trigger_phrase: 'n0ise' })
    expect(config.parameters).toMatchObject({
      training_data_url: 'pairs',
      rank: 4,
      alpha: 8,
      learning_rate: 0.0002,
      seed: 42,
    })
  })

  it('writes the previews as 48 kHz stereo, and one after another to audio.wav', () => {
    const [first, second, all] = ['previews/preview-1-00004.wav', 'previews/preview-2-00004.wav', 'audio.wav'].map(
      (path) => decodeWav(read('whole', path)),
    )
    expect([all?.sampleRate, all?.channels.length]).toEqual([48_000, 2])
    expect(all?.channels[0]?.length).toBe((first?.channels[0]?.length ?? 0) + (second?.channels[0]?.length ?? 0))
    expect(first?.channels[0]?.length).toBe(480 * (4 * 12 - 3)) // 0.5 s are 12 latent frames, rounded half to even
  })

  it('folds alpha / rank into B, records alpha in the metadata, and writes no alpha tensors', () => {
    const lora = readLora(join(folder, 'whole', 'lora.safetensors'))
    expect(lora.metadata).toMatchObject({
      rank: '4',
      alpha: '8',
      trigger_phrase: 'n0ise',
      example_caption: 'n0ise some hiss',
      base_model: openBase().fingerprint,
      reference_positions: 'overlapping',
      duration_seconds: '0.5',
      steps: '4',
    })
    const state = openSafetensors(join(folder, 'whole', 'state.safetensors'))
    const [module, { b } = { b: new Float32Array() }] = [...lora.modules][0] ?? []
    const trained = state.float32(`diffusion_model.${module}.lora_B.weight`)
    const largest = trained.reduce(
      (best, value, i) => (Math.abs(value) > Math.abs(trained[best] as number) ? i : best),
      0,
    )
    expect((b[largest] as number) / (trained[largest] as number)).toBeCloseTo(2, 1)
    const keys = [...openSafetensors(join(folder, 'whole', 'lora.safetensors')).tensors.keys()]
    expect(keys.every((key) => /^diffusion_model\.transformer_blocks\.\d+\..+\.lora_[AB]\.weight$/.test(key))).toBe(
      true,
    )
    expect(keys).toHaveLength(2 * 10 * 2)
  })

  it('writes the fitted clips to a zip that is a dataset', async () => {
    const source = await openSource(join(folder, 'whole', 'debug_dataset.zip'))
    expect(source.paths).toContain('hiss_start.wav')
    expect(new TextDecoder().decode(await source.readText('hiss.txt'))).toBe('n0ise some hiss\n')
    const peak = await source.withFile('hiss_end.wav', async (file) =>
      Math.max(...(decodeWav(readFileSync(file)).channels[0] ?? [])),
    )
    expect(Math.abs(peak)).toBeLessThanOrEqual(0.892)
    await source.close()
  })

  it('of one step is a complete run with previews, which can be estimated before and extended after', async () => {
    const one = [...small, '--number-of-steps', '1', '--validation-reference', 'ref.wav', '--out', 'one']
    const estimate = await run(['train', ...one, '--dry-run'])
    expect([estimate.code, estimate.stdout]).toEqual([
      0,
      expect.stringMatching(/ for 1 step\nPreviews: .* for 2 of.*\nIn all: about \d/),
    ])
    const { code, stderr } = await run(['train', ...one])
    expect(code).toBe(0)
    expect(stderr).toMatch(/^Training: 1 step, loss \d/m)
    expect(readdirSync(join(folder, 'one', 'previews'))).toEqual(['preview-1-00000.wav', 'preview-1-00001.wav'])
    expect(metrics('one').map(({ fixed_loss }) => typeof fixed_loss)).toEqual(['number', 'number'])
    const page = read('one', 'report.html')
      .toString()
      .replace(/base64,[\w+/=]*/g, '')
    expect(page).not.toMatch(/NaN|Infinity|\b1 steps/)
    const resumed = await run(['train', '--resume', 'one', '--number-of-steps', '2'])
    expect(resumed.code).toBe(0)
    expect(readLora(join(folder, 'one', 'lora.safetensors')).metadata.steps).toBe('2')
  })

  it('says first what the hosted trainer would not accept, unless it is a run on the bundled base', async () => {
    const few = [...small, '--number-of-steps', '1', '--dry-run']
    const notice = /^fal\.ai's hosted trainer of LTX-2\.3 would not accept this job: .*number_of_steps is 1/
    const real = await run(['train', ...few, '--model', 'missing.safetensors'])
    expect(real.code).toBe(2)
    expect(real.stderr.split('\n')[0]).toMatch(notice)
    const bundled = await run(['train', ...few])
    expect(bundled.code).toBe(0)
    expect(bundled.stderr).not.toContain('would not accept')
  })

  it('warns of previews without a prompt where the pairs have captions', async () => {
    cpSync(join(folder, 'pairs'), join(folder, 'captioned'), { recursive: true })
    const names = readdirSync(join(folder, 'captioned')).filter((name) => name.endsWith('_start.wav'))
    for (const name of names)
      writeFileSync(join(folder, 'captioned', name.replace('_start.wav', '.txt')), 'through a "pipe"')
    const estimate = [
      'train',
      ...small.slice(2),
      '--data',
      'captioned',
      '--validation-reference',
      'ref.wav',
      '--dry-run',
    ]
    const warning = 'the pairs have captions, but a preview has an empty prompt'
    const { code, stderr } = await run(estimate)
    expect([code, stderr]).toEqual([0, expect.stringContaining(warning)])
    expect(stderr).toContain('for example "through a \\"pipe\\""')
    const prompted = await run([...estimate, '--validation-prompt', 'x'])
    expect([prompted.code, prompted.stderr]).toEqual([0, expect.not.stringContaining(warning)])
  })

  it('removes the unfinished debug dataset when it is stopped while clips are encoded, and can be resumed', async () => {
    const stop = new AbortController()
    const onEvent = ({ type }: TrainEvent) => {
      if (type === 'clip') stop.abort()
    }
    const options = { ...tinyOptions, debugDataset: true, numberOfSteps: 2, previewInterval: 0, out: 'no-debug' }
    await inFolder({ cwd: folder }, async () => {
      await expect(train(options, { onEvent, signal: stop.signal })).rejects.toThrow('stopped before training began')
      expect(readdirSync(join(folder, 'no-debug'))).toEqual(['config.json'])
      await resumeTraining('no-debug')
    })
    expect(readdirSync(join(folder, 'no-debug'))).toContain('debug_dataset.zip')
  })

  it('reports the saved step when a resumed run is stopped before its next step', async () => {
    const stop = new AbortController()
    const events: TrainEvent[] = []
    const onEvent = (event: TrainEvent) => {
      events.push(event)
      if (event.type === 'clip') stop.abort()
    }
    const longer = { options: { numberOfSteps: 3 } }
    await inFolder({ cwd: folder }, () =>
      expect(resumeTraining('no-debug', longer, { onEvent, signal: stop.signal })).rejects.toMatchObject({
        message: `stopped after step 2 of 3; the run is saved, with the LoRA so far in ${join('no-debug', 'lora.safetensors')}`,
        hint: expect.stringContaining('--resume no-debug'),
      }),
    )
    const loraPath = join('no-debug', 'lora.safetensors')
    expect(events.at(-1)).toMatchObject({ type: 'done', state: 'stopped', step: 2, steps: 3, loraPath })
  })

  it('refuses settings outside of options when resuming', async () => {
    const misplaced = { numberOfSteps: 5 } as object
    const refused = { name: 'UserError', message: 'resumeTraining has no setting "numberOfSteps"' }
    await expect(resumeTraining('no-debug', misplaced)).rejects.toMatchObject(refused)
    for (const wrong of [[null], [5], ['no-debug', null]])
      await expect(resumeTraining(...(wrong as [string]))).rejects.toMatchObject({
        name: 'UserError',
        message: expect.stringMatching(/^resumeTraining was called with /),
      })
  })

  it('is repeated from its config.json, with the same bytes, into another folder', async () => {
    const options = { ...tinyOptions, rank: 3, numberOfSteps: 2, previewInterval: 0, triggerPhrase: 'x', out: 'first' }
    await inFolder({ cwd: folder }, () => train(options))
    const { code, stderr } = await run(['train', '--config', join('first', 'config.json'), '--out', 'again'])
    expect(code, stderr).toBe(0)
    expect(read('again', 'lora.safetensors').equals(read('first', 'lora.safetensors'))).toBe(true)
    const settings = resolveTrainSettings({ configFile: join(folder, 'first', 'config.json') }).settings
    expect(settings).toMatchObject({ rank: 3, triggerPhrase: 'x', out: undefined })
  })

  it('saves the run at Ctrl-C and prints how to resume it; the resumed run gives the same bytes as an uninterrupted one', async () => {
    const args = [...small, '--rank', '8', '--number-of-steps', '10', '--checkpoint-interval', '4']
    await inFolder({ cwd: folder }, () =>
      train({ ...tinyOptions, rank: 8, numberOfSteps: 10, checkpointInterval: 4, out: 'whole-run' }),
    )
    const stopped = await spawnLtxA2a(['train', ...args, '--out', 'stopped', '--json-progress'], {
      cwd: folder,
      interrupt: { at: '"type":"step"', signal: 'SIGINT' },
    })
    expect(stopped.code).toBe(130)
    const lora = join('stopped', 'lora.safetensors')
    const events = stopped.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const { step } = events.findLast(({ type }) => type === 'checkpoint')
    expect(readLora(join(folder, lora)).metadata.steps).toBe(String(step))
    expect(events).toContainEqual(expect.objectContaining({ type: 'checkpoint', step, loraPath: lora }))
    expect(events).toContainEqual(expect.objectContaining({ type: 'done', state: 'stopped', step, loraPath: lora }))
    const message = `stopped after step ${step} of 10; the run is saved, with the LoRA so far in ${lora}`
    expect(events).toContainEqual({ type: 'info', message })
    expect(stopped.stderr).toContain('ltx-a2a train --resume stopped')
    expect(read('stopped', 'report.html').toString()).toContain('<dt>lora.safetensors</dt>')
    const { code, stderr } = await run(['train', '--resume', 'stopped'])
    expect(stderr).toMatch(/Resuming after step \d+/)
    expect(code).toBe(0)
    for (const file of ['lora.safetensors', 'state.safetensors'])
      expect(read('stopped', file).equals(read('whole-run', file)), file).toBe(true)
    expect(metrics('stopped').map(({ step, loss }) => [step, loss])).toEqual(
      metrics('whole-run').map(({ step, loss }) => [step, loss]),
    )
  })

  it('leaves no LoRA and no state when it is stopped before the first step', async () => {
    const stop = new AbortController()
    const events: TrainEvent[] = []
    const onEvent = (event: TrainEvent) => {
      events.push(event)
      if (event.type === 'evaluation') stop.abort()
    }
    const options = { ...tinyOptions, rank: 2, numberOfSteps: 2, previewInterval: 0, out: 'unbegun' }
    await inFolder({ cwd: folder }, () =>
      expect(train(options, { onEvent, signal: stop.signal })).rejects.toMatchObject({
        name: 'Interrupted',
        message: 'stopped before training began',
        hint: expect.stringContaining('--resume unbegun'),
      }),
    )
    expect(readdirSync(join(folder, 'unbegun')).sort()).toEqual(['config.json', 'metrics.jsonl'])
    expect(events.at(-1)).toEqual(expect.not.objectContaining({ loraPath: expect.anything() }))
    await inFolder({ cwd: folder }, () => resumeTraining('unbegun'))
    expect(metrics('unbegun').map(({ step }) => step)).toEqual([0, 1, 2])
  })

  it('resumes a run to which a vocoder was added, with the same bytes, and refuses one that lost its vocoder', async () => {
    const whole = openBase()
    const options = { ...tinyOptions, rank: 2, textEncoder: whole.textEncoder, previewInterval: 1 }
    const previewed = { validation: [{ referenceAudioUrl: 'ref.wav' }], previewSteps: 1 }
    const model = join(folder, 'base.safetensors')
    const withVocoder = () => copyCheckpoint(whole.checkpoint, model)
    const withoutVocoder = () => copyCheckpoint(whole.checkpoint, model, { tensor: leaveOutVocoder })
    const longer = { options: { numberOfSteps: 2 } }
    await inFolder({ cwd: folder }, async () => {
      withoutVocoder()
      await train({ ...options, ...previewed, model, numberOfSteps: 2, out: 'without-vocoder' })
      await train({ ...options, ...previewed, model, numberOfSteps: 1, out: 'gains-vocoder' })
      withVocoder()
      await resumeTraining('gains-vocoder', longer)
      const vocoded = { options: { numberOfSteps: 1, renderer: 'vocoder' } } as const
      withoutVocoder()
      await train({ ...options, ...previewed, model, numberOfSteps: 1, out: 'loses-renderer' })
      withVocoder()
      await resumeTraining('loses-renderer', vocoded)
      withoutVocoder()
      await resumeTraining('loses-renderer', { options: { numberOfSteps: 2, renderer: 'griffin-lim' } })
      withVocoder()
      await train({ ...options, ...previewed, model, numberOfSteps: 1, out: 'loses-vocoder' })
      withoutVocoder()
      await expect(resumeTraining('loses-vocoder', longer)).rejects.toMatchObject({
        name: 'UserError',
        message: expect.stringContaining('base model was'),
        hint: 'resume with the base that the run was started with (with its vocoder, if it had one), or start a new run',
      })
    })
    whole.close()
    const state = (run: string) => read(run, 'state.safetensors')
    expect(state('gains-vocoder').equals(state('without-vocoder'))).toBe(true)
    expect(read('gains-vocoder', 'lora.safetensors').equals(read('without-vocoder', 'lora.safetensors'))).toBe(true)
  })

  it('with --keep-checkpoints keeps the last ones, of both names, also when it was stopped and resumed', async () => {
    const options = { ...tinyOptions, rank: 2, numberOfSteps: 7, checkpointInterval: 1, previewInterval: 0 }
    const stop = new AbortController()
    const onEvent = (event: TrainEvent) => {
      if (event.type === 'step' && event.step === 4) stop.abort()
    }
    const checkpoints = (out: string) => readdirSync(join(folder, out, 'checkpoints')).sort()
    const named = (...steps: number[]) => steps.map((step) => `lora_weights_step_0000${step}.safetensors`)
    await inFolder({ cwd: folder }, async () => {
      await train({ ...options, keepCheckpoints: 2, out: 'kept' })
      await expect(train({ ...options, out: 'resumed' }, { onEvent, signal: stop.signal })).rejects.toThrow('step 4')
    })
    expect(checkpoints('kept')).toEqual(named(5, 6))
    expect(checkpoints('resumed')).toEqual(named(1, 2, 3, 4))
    for (const step of [1, 2]) // as an earlier version named them
      renameSync(
        join(folder, 'resumed', 'checkpoints', `lora_weights_step_0000${step}.safetensors`),
        join(folder, 'resumed', 'checkpoints', `lora-0000${step}.safetensors`),
      )
    writeFileSync(join(folder, 'resumed', 'checkpoints', 'notes.txt'), 'mine')
    const { code } = await run(['train', '--resume', 'resumed', '--keep-checkpoints', '2'])
    expect(code).toBe(0)
    expect(checkpoints('resumed')).toEqual([...named(5, 6), 'notes.txt'])
    for (const file of ['lora.safetensors', 'state.safetensors', join('checkpoints', ...named(6))])
      expect(read('resumed', file).equals(read('kept', file)), file).toBe(true)
  })

  it('accepts a job file of the hosted trainer', async () => {
    const job = {
      training_data_url: 'pairs',
      trigger_phrase: 'tonech4nge',
      rank: 8,
      number_of_steps: 100,
      learning_rate: 0.0002,
      audio_duration_seconds: 0.5,
      resolution: 'high',
      validation: [{ prompt: 'tonech4nge', reference_audio_url: 'ref.wav' }],
    }
    const configFile = join(folder, 'job.json')
    writeFileSync(configFile, JSON.stringify(job))
    const { resolution: _, validation: __, ...parameters } = job
    expect(jobOf(resolveTrainSettings({ flags: {}, configFile }).settings)).toMatchObject({
      ...parameters,
      training_data_url: expect.stringMatching(/pairs$/),
    })
    const few = ['--number-of-steps', '3', '--preview-steps', '2', '--preview-interval', '0']
    const { code, stderr } = await run(['train', '--config', 'job.json', ...few, '--out', 'job'])
    expect(code).toBe(0)
    expect(stderr).toMatch(/no effect, because only audio is trained: .*resolution/)
    expect(existsSync(join(folder, 'job', 'audio.wav'))).toBe(true)
    expect(JSON.parse(read('job', 'config.json').toString()).parameters).toMatchObject({
      ...parameters,
      number_of_steps: 3,
    })
  })

  it('lowers the fixed loss on recordings of the demo', async () => {
    const source = await openSource(join(demo, 'pairs.zip'))
    mkdirSync(join(folder, 'recordings'))
    for (const path of source.paths.filter((path) => /^(bell|drums-1|voice-2)[._]/.test(path)))
      await source.withFile(path, async (file) => copyFileSync(file, join(folder, 'recordings', path)))
    await source.close()
    const options = {
      data: 'recordings',
      triggerPhrase: 'v1ntage radio',
      audioDurationSeconds: 0.5,
      rank: 8,
      learningRate: 0.01,
      learningRateSchedule: 'constant',
      numberOfSteps: 20,
      out: 'demo',
    } as const
    await inFolder({ cwd: folder }, () => train(options))
    const losses = metrics('demo').flatMap(({ fixed_loss }) => fixed_loss ?? [])
    expect(losses.at(-1) / losses[0]).toBeLessThan(0.8) // measured: 0.68
  })
})

describe('train exits with 2 and does not change the output folder for', () => {
  const refuses = async (args: string[], ...expected: RegExp[]) => {
    const { code, stdout, stderr } = await run(['train', ...args, '--out', 'refused'])
    for (const sentence of expected) expect(stderr).toMatch(sentence)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(existsSync(join(folder, 'refused'))).toBe(false)
  }

  it('pairs that are all too short, and suggests the longest usable clip length', () =>
    refuses(['--data', 'pairs'], /3 pairs have at least 0\.6 s: try --audio-duration-seconds 0\.6/))

  it('a pair whose samples are not numbers, after the other problems of the dataset', () => {
    const data = join(folder, 'broken')
    mkdirSync(data)
    for (const side of ['start', 'end']) copyFileSync(join(folder, 'ref.wav'), join(data, `good_${side}.wav`))
    for (const name of ['good_end', 'bad_start']) {
      const channels = [new Float32Array(9600)]
      if (name === 'bad_start') channels[0]?.fill(Number.NaN, 4000, 4001)
      writeFileSync(join(data, `${name}.wav`), encodeWav({ sampleRate: 16_000, channels }, { format: 'float32' }))
    }
    copyFileSync(join(folder, 'ref.wav'), join(data, 'bad_end.wav'))
    return refuses(
      ['--data', 'broken', ...small.slice(2)],
      /^warning: good_end\.wav is silent in the part that is used .*\n(.*\n)*error: .*bad_start\.wav has a sample that is not a number at 0\.250 s$/m,
      /^hint: only 2 pairs: /m,
    )
  })

  it('a validation reference whose samples are not numbers', () => {
    const channels = [new Float32Array(9600).fill(Number.NaN, 8, 9)]
    writeFileSync(join(folder, 'nan.wav'), encodeWav({ sampleRate: 16_000, channels }, { format: 'float32' }))
    return refuses(
      [...small, '--validation-reference', 'nan.wav', '--validation-prompt', 'x'],
      /^error: nan\.wav has a sample that is not a number at 0\.001 s$/m,
    )
  })

  it('a dataset that does not exist', () => refuses(['--data', 'nowhere.zip'], /nowhere\.zip/))

  it('a validation reference that does not exist', () =>
    refuses([...small, '--validation-reference', 'gone.wav'], /gone\.wav does not exist/))

  it('a checkpoint without audio tensors', () => {
    const path = join(folder, 'video.safetensors')
    const { metadata } = openBase().checkpoint
    writeSafetensors(path, new Map([['x', { dtype: 'F32', shape: [1], bytes: new Uint8Array(4) }]]), metadata)
    return refuses(
      [...small, '--model', 'video.safetensors', '--text-encoder', '.'],
      /video\.safetensors has no audio stream/,
    )
  })

  it('a tensor with a wrong shape, and reports both shapes', () => {
    const { checkpoint } = openBase()
    const tensors = new Map([...checkpoint.tensors.keys()].map((name) => [name, checkpoint.read(name)]))
    const name = 'model.diffusion_model.audio_patchify_proj.weight'
    tensors.set(name, { dtype: 'F32', shape: [2, 3], bytes: new Uint8Array(24) })
    writeSafetensors(join(folder, 'bent.safetensors'), tensors, checkpoint.metadata)
    const textEncoder = openBase().textEncoder as string
    return run(['train', ...small, '--model', 'bent.safetensors', '--text-encoder', textEncoder, '--out', 'bent']).then(
      ({ code, stderr }) => {
        expect(stderr).toMatch(/audio_patchify_proj\.weight in bent\.safetensors has the shape \[2,3\], not \[64,128\]/)
        expect(code).toBe(2)
      },
    )
  })

  it('a base without the vocoder that is asked for, before the data is read', async () => {
    const { checkpoint, textEncoder = '' } = openBase()
    copyCheckpoint(checkpoint, join(folder, 'silent.safetensors'), { tensor: leaveOutVocoder })
    const model = ['--model', 'silent.safetensors', '--text-encoder', textEncoder, '--renderer', 'vocoder']
    for (const dryRun of [[], ['--dry-run']])
      await refuses(['--data', 'nowhere.zip', ...model, ...dryRun], /^error: silent\.safetensors has no vocoder$/m)
  })

  it('an output folder that contains other files', async () => {
    mkdirSync(join(folder, 'theirs'))
    writeFileSync(join(folder, 'theirs', 'thesis.txt'), 'mine')
    const { code, stderr } = await run(['train', ...small, '--out', 'theirs'])
    expect(stderr).toMatch(/theirs holds files that are not a run of ltx-a2a/)
    expect(stderr).not.toContain('Inspecting') // refused before the work
    expect(code).toBe(2)
    expect(readdirSync(join(folder, 'theirs'))).toEqual(['thesis.txt'])
  })
})

describe('preview', () => {
  it('uses the prompt and duration of the LoRA and prints only the path of the wav file', async () => {
    const lora = join('whole', 'lora.safetensors')
    const { code, stdout, stderr } = await run([
      'preview',
      '--lora',
      lora,
      '--ref',
      'ref.wav',
      '--steps',
      '2',
      '--out',
      'new.wav',
    ])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'new.wav\n' })
    expect(stderr).toContain('"n0ise"')
    expect(stderr).toContain('ref.wav: the first 0.5 s are used, as much as a clip that the LoRA was trained on')
    const { sampleRate, channels } = decodeWav(read('new.wav'))
    expect([sampleRate, channels.length, channels[0]?.length]).toEqual([48_000, 2, 24_000])
  })

  it('equals the base with strength 0, and differs from it with more', async () => {
    const sound = async (name: string, ...args: string[]) => {
      await run([
        'preview',
        '--ref',
        'ref.wav',
        '--prompt',
        'n0ise',
        '--duration',
        '0.5',
        '--steps',
        '2',
        '--out',
        name,
        ...args,
      ])
      return read(name)
    }
    const lora = join('demo', 'lora.safetensors')
    const base = await sound('base.wav')
    expect((await sound('zero.wav', '--lora', lora, '--lora-strength', '0')).equals(base)).toBe(true)
    expect((await sound('one.wav', '--lora', lora)).equals(base)).toBe(false)
    const two = await sound(
      'two.wav',
      '--lora',
      lora,
      '--lora',
      lora,
      '--lora-strength',
      '0.5',
      '--lora-strength',
      '0.5',
    )
    const one = decodeWav(read('one.wav')).channels[0] as Float32Array
    const difference = (decodeWav(two).channels[0] as Float32Array).map((value, i) =>
      Math.abs(value - (one[i] as number)),
    )
    expect(Math.max(...difference)).toBeLessThan(1e-3)
  })

  it('warns of a silent reference', async () => {
    writeFileSync(join(folder, 'silent.wav'), encodeWav({ sampleRate: 16_000, channels: [new Float32Array(9600)] }))
    const { stderr } = await run(['preview', '--ref', 'silent.wav', '--steps', '2', '--out', 'of-silence.wav'])
    expect(stderr).toContain('warning: silent.wav is silent in the part that is used')
  })

  it('warns that guidance is too strong for the bundled base, unless guidance is off', async () => {
    const render = (cfg: string, stg: string) =>
      run(['preview', '--ref', 'ref.wav', '--steps', '1', '--cfg', cfg, '--stg-scale', stg, '--out', 'guided.wav'])
    const warning = (given: string, better: string) =>
      `warning: guidance of ${given} is too strong for the small bundled base: it sounds best with ${better}\n`
    expect((await render('7', '0')).stderr).toContain(warning('--cfg 7', '--cfg 1'))
    expect((await render('1', '0.5')).stderr).toContain(warning('--stg-scale 0.5', '--stg-scale 0'))
    expect((await render('7', '1')).stderr).toContain(warning('--cfg 7 --stg-scale 1', '--cfg 1 --stg-scale 0'))
    expect((await render('1', '0')).stderr).not.toContain('guidance')
  })

  it('refuses a LoRA of another base with both shapes in the message', async () => {
    const factors = { dtype: 'F32' as const, shape: [1, 7], bytes: new Uint8Array(28) }
    const module = 'diffusion_model.transformer_blocks.0.audio_attn1.to_q'
    const tensors = new Map([
      [`${module}.lora_A.weight`, factors],
      [`${module}.lora_B.weight`, { ...factors, shape: [7, 1] }],
    ])
    writeSafetensors(join(folder, 'other.safetensors'), tensors)
    const { code, stderr } = await run([
      'preview',
      '--lora',
      'other.safetensors',
      '--ref',
      'ref.wav',
      '--out',
      'no.wav',
    ])
    expect(stderr).toMatch(/to_q is \[7, 7\] there and \[64, 64\] in this base/)
    expect(code).toBe(2)
    expect(existsSync(join(folder, 'no.wav'))).toBe(false)
  })

  it('refuses a file that is not a LoRA', async () => {
    writeFileSync(join(folder, 'empty.safetensors'), '')
    const { code, stderr } = await run(['preview', '--lora', 'empty.safetensors', '--ref', 'ref.wav'])
    expect(stderr).toMatch(/empty\.safetensors is not a usable safetensors file: it has 0 bytes/)
    expect(code).toBe(2)
  })
})
