/** Whole trainings with held-out pairs. */
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { comparableContent, leftoverFiles } from '../../scripts/reliability/run-content.ts'
import { noise, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { decodeWav, encodeWav } from '../../src/audio/wav.ts'
import type { TrainOptions } from '../../src/config/settings.ts'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { readLora } from '../../src/model/lora-file.ts'
import { mean } from '../../src/platform/statistics.ts'
import { createRunReport } from '../../src/report/run-report.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import { savedStep } from '../../src/train/run-writer.ts'
import { resumeTraining, type TrainRunOptions, train } from '../../src/train/train.ts'
import { performance, radio } from '../audio/analysis/sounds.ts'
import { inFolder, ltxA2a } from '../cli/bin.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const names = ['air', 'boil', 'creek', 'drizzle', 'foam', 'gust', 'hail', 'spray', 'steam']
beforeAll(() => {
  writeTinyData(folder)
  mkdirSync(join(folder, 'nine'))
  for (const name of names)
    for (const side of ['start', 'end']) writeFileSync(join(folder, 'nine', `${name}_${side}.wav`), noise(name + side))
})

const options = {
  ...{ data: 'nine', audioDurationSeconds: 0.5, rank: 4, learningRate: 0.01, numberOfSteps: 8, checkpointInterval: 3 },
  ...{ holdout: 2, evalInterval: 2, ema: 0.5, previewInterval: 0, holdoutPreviews: 1, previewSteps: 1, previewCfg: 1 },
} satisfies TrainOptions

/** @returns the events, and the error of a run that ended with one. */
async function eventsOf(
  work: (runOptions: TrainRunOptions) => Promise<unknown>,
  listener: (event: TrainEvent) => void | Promise<void> = () => {},
  signal?: AbortSignal,
) {
  const events: TrainEvent[] = []
  const onEvent = (event: TrainEvent) => {
    events.push(event)
    return listener(event)
  }
  const error = await inFolder({ cwd: folder }, () => work({ onEvent, ...(signal && { signal }) })).then(
    () => undefined,
    (error: unknown) => error,
  )
  return { events, error }
}

const trained = (changes: Partial<TrainOptions>, listener?: (event: TrainEvent) => void | Promise<void>) =>
  eventsOf((run) => train({ ...options, ...changes }, run), listener)
const resumed = (
  path: string,
  changes: Partial<TrainOptions> = {},
  listener?: (event: TrainEvent) => void | Promise<void>,
) => eventsOf((run) => resumeTraining(path, { options: changes }, run), listener)

const ofType = <Type extends TrainEvent['type']>(events: readonly TrainEvent[], type: Type) =>
  events.filter((event) => event.type === type) as Extract<TrainEvent, { type: Type }>[]
const messages = (events: readonly TrainEvent[]) =>
  events.flatMap((event) => (event.type === 'info' || event.type === 'warning' ? [event.message] : []))
/** Their steps, and which are of the best LoRA. */
const previewsIn = (events: readonly TrainEvent[]) =>
  ofType(events, 'preview').map(({ step, isBest }) => (isBest ? [step, isBest] : [step]))
const bytes = (...path: string[]) => readFileSync(join(folder, ...path))
const configOf = (run: string) => JSON.parse(bytes(run, 'config.json').toString())
const metricsOf = (run: string) =>
  bytes(run, 'metrics.jsonl')
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('a run with held-out pairs', () => {
  let whole: TrainEvent[]
  beforeAll(async () => {
    const report = createRunReport()
    whole = (await trained({ out: 'whole' }, report)).events
  })

  it('trains on the others', () => {
    const [run] = ofType(whole, 'run')
    expect(run?.heldOut).toHaveLength(2)
    expect(configOf('whole').held_out).toEqual(run?.heldOut)
    const used = new Set(ofType(whole, 'step').flatMap(({ pairs }) => pairs))
    expect(used.size).toBe(7)
    for (const name of run?.heldOut ?? []) expect(used).not.toContain(name)
    expect(ofType(whole, 'clip')).toHaveLength(7)
    expect(messages(whole)).toContain(`Held out: 2 of 9 pairs (${run?.heldOut?.join(', ')})`)
  })

  it('evaluates both lists of pairs and the moving average, and saves the best LoRA', () => {
    const evaluations = ofType(whole, 'evaluation')
    expect(evaluations.map(({ step }) => step)).toEqual([0, 2, 4, 6, 8])
    const losses = ['fixed_loss', 'held_out_loss', 'ema_fixed_loss', 'ema_held_out_loss'] as const
    const lines = metricsOf('whole').filter(({ fixed_loss }) => fixed_loss !== undefined)
    expect(lines.map((line) => losses.map((name) => line[name]))).toEqual(
      evaluations.map((e) => [e.fixedLoss, e.heldOutLoss, e.emaFixedLoss, e.emaHeldOutLoss]),
    )
    const lowest = Math.min(
      ...evaluations.flatMap((e) => (e.step > 0 ? [e.heldOutLoss, e.emaHeldOutLoss] : []) as number[]),
    )
    const [done] = ofType(whole, 'done')
    expect(done?.best).toMatchObject({ heldOutLoss: lowest, path: join('whole', 'best.safetensors') })
    const { metadata } = readLora(join(folder, 'whole', 'best.safetensors'))
    expect(metadata.steps).toBe(String(done?.best?.step))
    expect(metadata.ema_decay).toBe(done?.best?.isAverage ? '0.5' : undefined)
    const same = done?.best?.isAverage ? 'lora-ema' : 'lora'
    if (done?.best?.step === 8)
      expect(bytes('whole', 'best.safetensors').equals(bytes('whole', `${same}.safetensors`))).toBe(true)
    expect(evaluations.filter(({ isBest }) => isBest).at(-1)?.step).toBe(done?.best?.step)
  })

  it('previews held-out pairs beside their true targets', () => {
    const [run] = ofType(whole, 'run')
    expect(run?.validation).toMatchObject([{ heldOut: run?.heldOut?.[0], target: expect.anything() }])
    expect(ofType(whole, 'preview').map(({ number, step }) => [number, step])).toEqual([[1, 8]])
  })

  it('says what the losses mean, in its messages, its last event and at the top of its page', () => {
    const { sentence } = ofType(whole, 'done')[0]?.verdict ?? {}
    expect(messages(whole)).toContain(sentence)
    const main = bytes('whole', 'report.html').toString().split('<main>')[1] ?? ''
    const text = main.replace(/<[^>]*>/g, '').trim()
    expect(text).toMatch(new RegExp(`^What it has learned${sentence?.slice(0, 60)}`))
    expect(main.indexOf('Held-out and training loss')).toBe(main.indexOf('<strong>') + '<strong>'.length) // the first chart
    expect(main).toContain(`Preview 1: held-out pair ${configOf('whole').held_out[0]}`)
  })

  it('gives the same bytes when it crashes after evaluations and checkpoints, and is resumed each time', async () => {
    const crashes: [type: 'evaluation' | 'checkpoint', step: number][] = [
      ...[
        ['evaluation', 2],
        ['checkpoint', 3],
        ['evaluation', 4],
        ['evaluation', 6],
        ['checkpoint', 6],
      ],
      ...[
        ['evaluation', 8],
        ['checkpoint', 8],
      ],
    ] as never
    for (const [i, [type, step]] of crashes.entries()) {
      const crash = (event: TrainEvent) => {
        if (event.type === type && event.step === step) throw new Error('crashed')
      }
      const { error } = await (i === 0 ? trained({ out: 'crashed' }, crash) : resumed('crashed', {}, crash))
      expect(error, `${type} ${step}`).toMatchObject({ message: 'crashed' })
      // the best LoRA was that of step 4, between two checkpoints: its state was saved with it
      if (type === 'evaluation' && step === 6) expect(savedStep(join(folder, 'crashed', 'state.safetensors'))).toBe(4)
    }
    expect((await resumed('crashed')).error).toBeUndefined()
    expect(comparableContent(join(folder, 'crashed'))).toEqual(comparableContent(join(folder, 'whole')))
    expect(comparableContent(join(folder, 'whole')).filter((line) => /^(best|lora-ema)/.test(line))).toHaveLength(2)
    expect(leftoverFiles(join(folder, 'crashed'))).toEqual([])
  })

  it('stops while it evaluates, shows how far it is, and gives the same bytes when it is resumed each time', async () => {
    for (const step of [0, 4, 6, 8]) {
      const stop = new AbortController()
      const positions: number[] = []
      const onEvaluation = (event: TrainEvent) => {
        if (event.type !== 'stage' || event.stage !== `Evaluation at step ${step}`) return
        positions.push(event.position)
        expect(event).toMatchObject({ total: 2 * 2 * 4 * 2, unit: 'losses' }) // pairs, lists, noise levels, with the average
        if (event.position === 3) stop.abort()
      }
      const isNew = step === 0
      const work = (run: TrainRunOptions) =>
        isNew ? train({ ...options, out: 'interrupted' }, run) : resumeTraining('interrupted', {}, run)
      const { events, error } = await eventsOf(work, onEvaluation, stop.signal)
      expect(error, `step ${step}`).toMatchObject({ name: 'Interrupted' })
      expect(positions).toEqual([0, 1, 2, 3])
      expect(savedStep(join(folder, 'interrupted', 'state.safetensors'))).toBe(step)
      expect(ofType(events, 'evaluation').map((event) => event.step)).not.toContain(step)
    }
    expect((await resumed('interrupted')).error).toBeUndefined()
    expect(comparableContent(join(folder, 'interrupted'))).toEqual(comparableContent(join(folder, 'whole')))
  })

  it('evaluates the step that becomes the last one when it is resumed', async () => {
    const constant = { learningRateSchedule: 'constant', holdoutPreviews: 0 } as const
    await trained({ ...constant, numberOfSteps: 5, out: 'five' })
    const stop = new AbortController()
    const onStep = (event: TrainEvent) => {
      if (event.type === 'step' && event.step === 5) stop.abort()
    }
    await eventsOf((run) => train({ ...options, ...constant, out: 'stopped-at-five' }, run), onStep, stop.signal)
    const { events, error } = await resumed('stopped-at-five', { numberOfSteps: 5 })
    expect(error).toBeUndefined()
    expect(ofType(events, 'evaluation').map(({ step }) => step)).toEqual([5])
    expect(comparableContent(join(folder, 'stopped-at-five'))).toEqual(comparableContent(join(folder, 'five')))
  })

  it('says nothing about too few pairs when it is resumed with other data', async () => {
    await trained({ holdoutPreviews: 0, numberOfSteps: 2, out: 'renamed' })
    mkdirSync(join(folder, 'ten'))
    for (const name of names)
      for (const side of ['start', 'end'])
        copyFileSync(join(folder, 'nine', `${name}_${side}.wav`), join(folder, 'ten', `new-${name}_${side}.wav`))
    const { events, error } = await resumed('renamed', { data: 'ten', numberOfSteps: 3 })
    expect(messages(events).filter((message) => message.includes('held out'))).toEqual([])
    expect(error).toMatchObject({ message: expect.stringMatching(/the held-out pair .* is gone/) })
  })

  it('writes the best LoRA again where it was killed between the state and the best LoRA', async () => {
    cpSync(join(folder, 'whole'), join(folder, 'killed'), { recursive: true })
    const stop = new AbortController()
    const onStep = (event: TrainEvent) => {
      if (event.type === 'step' && event.step === 4) stop.abort()
    }
    await eventsOf((run) => train({ ...options, out: 'stopped' }, run), onStep, stop.signal)
    const best = bytes('stopped', 'best.safetensors')
    expect(readLora(join(folder, 'stopped', 'best.safetensors')).metadata.steps).toBe('4')
    copyFileSync(
      join(folder, 'whole', 'checkpoints', 'lora_weights_step_00003.safetensors'),
      join(folder, 'stopped', 'best.safetensors'),
    )
    expect((await resumed('stopped', { numberOfSteps: 4 })).error).toBeUndefined()
    expect(bytes('stopped', 'best.safetensors').equals(best)).toBe(true)
  })

  it('holds out the same pairs when it is resumed, whatever would be chosen today', async () => {
    await trained({ out: 'other-split', numberOfSteps: 2 })
    const config = configOf('other-split')
    const [run] = ofType((await resumed('other-split', { numberOfSteps: 3 })).events, 'run')
    expect(run?.heldOut).toEqual(config.held_out)
    const others = names.filter((name) => !config.held_out.includes(name)).slice(0, 2)
    writeFileSync(join(folder, 'other-split', 'config.json'), JSON.stringify({ ...config, held_out: others }))
    const { error } = await resumed('other-split', { numberOfSteps: 3 })
    expect(error).toMatchObject({
      message: expect.stringMatching(/the pair .* is gone; .*the held-out pair .* is gone/),
    })
  })

  it('cannot be resumed with other held-out pairs or another average', async () => {
    const { code, stderr } = await ltxA2a(['train', '--resume', 'whole', '--holdout', '3', '--ema', '0.9'], {
      cwd: folder,
    })
    expect(stderr).toMatch(/ema was 0\.5 and cannot become 0\.9; holdout was 2 and cannot become 3/)
    expect(code).toBe(2)
  })
})

describe('patience', () => {
  /** The second step is far too large. */
  const worse = {
    ...{ learningRate: 1, learningRateSchedule: 'constant' as const, ema: 0, numberOfSteps: 5 },
    ...{ holdout: 1, evalInterval: 1, checkpointInterval: 0 },
  }

  it('ends a run whose held-out loss does not fall, which a resumed run respects until it is told to continue', async () => {
    await trained({ ...worse, out: 'patient' })
    const { events } = await trained({ ...worse, patience: 2, out: 'early' })
    const [done] = ofType(events, 'done')
    const [best, end] = [1, 3]
    expect(done).toMatchObject({ state: 'finished', step: end, steps: 5, loraPath: join('early', 'lora.safetensors') })
    expect(done?.best?.step).toBe(best)
    const lowest = done?.best?.heldOutLoss.toFixed(4)
    const message = `Stopped early after step ${end} of 5: in 2 evaluations the held-out loss has not fallen below ${lowest}, that of step ${best}; ltx-a2a train --resume early --patience 0 continues`
    expect(messages(events)).toContain(message)
    expect(readLora(join(folder, 'early', 'lora.safetensors')).metadata.steps).toBe(String(end))
    expect(previewsIn(events)).toEqual([[end], [best, true]])

    const again = await resumed('early')
    expect(again.error).toBeUndefined()
    expect(ofType(again.events, 'step')).toEqual([])
    expect(previewsIn(again.events)).toEqual([])
    expect(messages(again.events)).toContain(message)
    expect(ofType(again.events, 'done')).toMatchObject([{ state: 'finished', step: end }])

    const continued = await resumed('early', { patience: 0 })
    expect(ofType(continued.events, 'done')).toMatchObject([{ state: 'finished', step: 5 }])
    for (const file of ['lora.safetensors', 'best.safetensors', 'state.safetensors'])
      expect(bytes('early', file).equals(bytes('patient', file)), file).toBe(true)
    expect(previewsIn(continued.events)).toEqual([[5]]) // which is the best one now: the preview of the former is gone
    expect(existsSync(join(folder, 'early', 'previews', 'preview-1-best.wav'))).toBe(false)
  })

  it('and at the end the best LoRA is previewed, once it is certain, with the sound of its step', async () => {
    const heard = { ...worse, numberOfSteps: 2, previewInterval: 1 }
    const { events } = await trained({ ...heard, out: 'heard' }, createRunReport())
    expect(previewsIn(events)).toEqual([[0], [1], [2], [1, true]])
    const samples = (name: string) => {
      const { channels } = decodeWav(bytes('heard', 'previews', name))
      return channels[0] as Float32Array
    }
    const best = samples('preview-1-best.wav')
    const level = Math.sqrt(mean(best.map((value) => value ** 2)))
    const difference = (other: Float32Array) =>
      Math.sqrt(mean(best.map((value, i) => (value - (other[i] as number)) ** 2))) / level
    const [same, other] = [1, 2].map((step) => difference(samples(`preview-1-0000${step}.wav`))) as [number, number]
    expect(same).toBeLessThan(other / 10) // the file has bfloat16
    expect(bytes('heard', 'report.html').toString()).toMatch(/best\.safetensors: the LoRA of step 1/)

    const stop = new AbortController()
    const onEvent = (event: TrainEvent) => {
      if (event.type === 'preview' && event.step === 2) stop.abort()
    }
    const stopped = await eventsOf(
      (run) => train({ ...options, ...heard, out: 'stopped-late' }, run),
      onEvent,
      stop.signal,
    )
    expect(stopped.error).toMatchObject({ name: 'Interrupted' })
    expect(existsSync(join(folder, 'stopped-late', 'previews', 'preview-1-best.wav'))).toBe(false)
    expect(previewsIn((await resumed('stopped-late')).events)).toEqual([[1, true]])
    expect(comparableContent(join(folder, 'stopped-late'))).toEqual(comparableContent(join(folder, 'heard')))

    const onContinued = async (event: TrainEvent) => {
      if (event.type === 'step') expect(existsSync(join(folder, 'heard', 'previews', 'preview-1-best.wav'))).toBe(false)
    }
    expect((await resumed('heard', { numberOfSteps: 3 }, onContinued)).error).toBeUndefined()
    expect(existsSync(join(folder, 'heard', 'previews', 'preview-1-best.wav'))).toBe(true)
  })

  it('names both losses and the lowest of them where there is a moving average', async () => {
    const { events } = await trained({ ...worse, ema: 0.5, patience: 1, holdoutPreviews: 0, out: 'early-average' })
    const { step, heldOutLoss, isAverage } = ofType(events, 'done')[0]?.best ?? {}
    const lowest = `${heldOutLoss?.toFixed(4)}, that of the ${isAverage ? 'moving average' : 'LoRA'} at step ${step}`
    expect(messages(events).filter((message) => message.startsWith('Stopped early'))).toEqual([
      expect.stringContaining(
        `in 1 evaluation neither the held-out loss of the LoRA nor that of its moving average has fallen below ${lowest};`,
      ),
    ])
  })

  it('is refused without held-out pairs', async () => {
    const { error } = await trained({ holdout: 0, patience: 2, out: 'refused' })
    expect(error).toMatchObject({ name: 'UserError', message: 'patience is 2, but no pairs are held out' })
    expect(existsSync(join(folder, 'refused'))).toBe(false)
  })
})

describe('the held-out pairs and what was asked for:', () => {
  const one = { ema: 0, numberOfSteps: 1, evalInterval: 0 }
  beforeAll(() => {
    mkdirSync(join(folder, 'twos'))
    for (const name of names.slice(0, 4))
      for (const copy of ['', '-again'])
        for (const side of ['start', 'end'])
          copyFileSync(join(folder, 'nine', `${name}_${side}.wav`), join(folder, 'twos', `${name}${copy}_${side}.wav`))
  })

  it('fewer are held out where copies stay together, and one recording is too little', async () => {
    const { events } = await trained({ ...one, data: 'twos', holdout: 3, holdoutPreviews: 3, out: 'twos-held-out' })
    const held = ofType(events, 'run')[0]?.heldOut ?? []
    expect(held).toHaveLength(2)
    expect(messages(events)).toContain(
      `Held out: 2 of 8 pairs, not 3: pairs with copies of the same recording stay together (${held.join(', ')})`,
    )
    const warning =
      'held out: the held-out loss, best.safetensors, --patience and the verdict rest on a single recording'
    expect(messages(events)).toContain(`only copies of one recording are ${warning}`)
    expect(messages(events)).toContain('Held-out previews: 2, not 3: no more pairs are held out')

    const single = await trained({ ...one, holdout: 0.1, holdoutPreviews: 0, out: 'one-held-out' })
    expect(messages(single.events)).toContain(`only one pair is ${warning}`)
    const two = await trained({ ...one, holdout: 2, holdoutPreviews: 0, out: 'two-held-out' })
    expect(messages(two.events).filter((message) => /single recording|, not \d/.test(message))).toEqual([])
  })

  it('half of an odd number of pairs is rounded down', async () => {
    const { events, error } = await trained({ ...one, holdout: 0.5, holdoutPreviews: 0, out: 'half-held-out' })
    expect(error).toBeUndefined()
    expect(ofType(events, 'run')[0]?.heldOut).toHaveLength(4)
  })

  it('more than half are refused in the numbers that were given', async () => {
    for (const [holdout, asked, left] of [
      [0.9, '90 %', 1],
      [12, '12', 0],
    ] as const)
      expect((await trained({ holdout, out: 'refused' })).error).toMatchObject({
        name: 'UserError',
        message: `holding out ${asked} of 9 pairs would leave ${left} to train on`,
        hint: 'hold out at most half of them: --holdout 4 or less',
      })
    expect(existsSync(join(folder, 'refused'))).toBe(false)
  })
})

it('with fewer than eight pairs none are held out, a warning says why, and the LoRA is that of a run without', async () => {
  const few = { data: 'pairs', ema: 0, numberOfSteps: 2 }
  await trained({ ...few, holdout: 0, out: 'without' })
  const { events } = await trained({ ...few, holdout: 1, patience: 1, out: 'too-few' })
  expect(messages(events)).toContain('no pairs are held out: the dataset has 3 usable pairs, and at least 8 are needed')
  expect(ofType(events, 'done')[0]).not.toHaveProperty('verdict')
  expect(existsSync(join(folder, 'too-few', 'best.safetensors'))).toBe(false)
  for (const file of ['lora.safetensors', 'state.safetensors'])
    expect(bytes('too-few', file).equals(bytes('without', file)), file).toBe(true)
})

describe('held-out pairs of another dataset', () => {
  const write = (dataset: string, name: string, recording: number) => {
    mkdirSync(join(folder, dataset), { recursive: true })
    const sound = performance(recording, { seconds: 2 })
    writeFileSync(join(folder, dataset, `${name}_start.wav`), encodeWav(sound))
    writeFileSync(join(folder, dataset, `${name}_end.wav`), encodeWav(radio(sound, recording)))
  }
  const few = { data: 'sounds', holdout: 0, holdoutData: 'tests', ema: 0, numberOfSteps: 2, holdoutPreviews: 0 }
  beforeAll(() => {
    for (const recording of [1, 2]) write('sounds', `sound-${recording}`, recording)
    write('tests', 'sound-1', 3) // the name of a training pair, and another recording
    write('tests', 'copy', 2)
    write('copies', 'copy', 1)
  })

  it('are used unless they are copies of recordings that are trained on', async () => {
    const { events, error } = await trained({ ...few, out: 'separate' })
    expect(error).toBeUndefined()
    expect(ofType(events, 'run')[0]?.heldOut).toEqual(['sound-1'])
    expect(messages(events)).toContain(
      'tests: 1 pair left out, because recordings or copies of them are trained on: copy',
    )
    expect(messages(events).filter((message) => message.startsWith('hint: only 2 pairs'))).toHaveLength(1) // of the training data
    expect(metricsOf('separate').at(-1).held_out_loss).toBeGreaterThan(0)
    expect((await trained({ ...few, holdoutData: 'copies', out: 'refused' })).error).toMatchObject({
      message: 'all pairs of copies have recordings that are trained on',
    })
  })

  it('are cut into clips like the others, of which at most four are evaluated', async () => {
    const windows = { windows: 'all', audioDurationSeconds: 0.3, numberOfSteps: 7, holdoutPreviews: 2 } as const
    const { events } = await trained({ ...few, ...windows, holdout: 0, out: 'windows' })
    const [run] = ofType(events, 'run')
    expect(run?.heldOut).toEqual(['sound-1'])
    expect(run?.validation).toMatchObject([{ heldOut: 'sound-1' }])
    const identity = JSON.parse(openSafetensors(join(folder, 'windows', 'state.safetensors')).metadata.identity ?? '')
    expect(identity.heldOut.map(([name]: [string]) => name)).toEqual([1, 3, 4, 6].map((i) => `sound-1 (${i} of 6)`))
    expect(identity.pairs).toHaveLength(12)
    const used = new Set(ofType(events, 'step').flatMap(({ pairs }) => pairs))
    expect(used).toContain('sound-2 (1 of 6)')
    expect([...used].every((name) => /^sound-[12] /.test(name))).toBe(true)
  })

  it('can be moved, but not be changed, before a run is resumed', async () => {
    cpSync(join(folder, 'tests'), join(folder, 'moved'), { recursive: true })
    expect((await resumed('separate', { holdoutData: 'moved', numberOfSteps: 3 })).error).toBeUndefined()
    write('moved', 'sound-1', 4)
    expect((await resumed('separate', { numberOfSteps: 4 })).error).toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/is of another training: the held-out pair sound-1 has changed$/),
    })
  })
})

it('the demo data, twelve pairs held out and trained for long, shows overfitting, and the run and its report say so', async () => {
  const base = fileURLToPath(new URL('../../fixtures/base', import.meta.url))
  const args = [
    ...['train', '--data', fileURLToPath(new URL('../../fixtures/demo/pairs.zip', import.meta.url))],
    ...['--trigger-phrase', 'v1ntage radio', '--audio-duration-seconds', '0.3', '--rank', '32'],
    ...['--learning-rate', '0.002', '--learning-rate-schedule', 'constant', '--number-of-steps', '180'],
    ...['--holdout', '12', '--eval-interval', '30', '--holdout-previews', '0', '--out', 'overfitted'],
  ]
  const { code, stderr } = await ltxA2a(args, { cwd: folder, env: { LTX_A2A_BASE: base } })
  expect(code, stderr).toBe(0)
  const [, best] = /^Overfitting since step (\d+): /m.exec(stderr) ?? []
  expect(Number(best), stderr).toBeLessThan(150)
  expect(readLora(join(folder, 'overfitted', 'best.safetensors')).metadata.steps).toBe(best)
  expect(bytes('overfitted', 'report.html').toString()).toContain(`Overfitting since step ${best}`)
}, 300_000) // 40 seconds of one core
