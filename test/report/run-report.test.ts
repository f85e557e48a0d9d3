import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeWav } from '../../src/audio/wav.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import { resolveTrainSettings } from '../../src/config/settings.ts'
import { writeSafetensors } from '../../src/formats/safetensors.ts'
import { replaceFile } from '../../src/platform/files.ts'
import { createRunReport } from '../../src/report/run-report.ts'
import { createTensorBoardListener } from '../../src/report/tensorboard.ts'
import type { TrainEvent, ValidationClip } from '../../src/train/events.ts'
import { groundTruthOf } from '../../src/train/previews.ts'
import { createRunFolder, type RunFolder } from '../../src/train/run-folder.ts'
import { performance, radio } from '../audio/analysis/sounds.ts'
import { tone, writeWav } from '../audio/signals.ts'
import { dataset } from '../pages/run.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const reference = performance(1, { seconds: 2 })
const { settings } = resolveTrainSettings({ options: { data: 'takes.zip', numberOfSteps: 4 } })
const base = {
  ...{ path: 'base.safetensors', isBundled: true, fingerprint: 'f00d', release: '2.3' as const, blocks: 4 },
  renderer: 'vocoder',
} as const

let run: RunFolder
let messages: string[]

beforeEach(() => {
  const config = { tool: 'ltx-a2a', training_type: 'audio_to_audio_lora', trigger_phrase: '', parameters: {} } as const
  run = createRunFolder(mkdtempSync(join(folder, 'run-')), config)
  messages = []
})

/** Creates a report and starts its run. */
async function open(validation: ValidationClip[] = [{ prompt: 'v1ntage radio', reference }]) {
  const report = createRunReport({
    onInfo: (message) => messages.push(message),
    onWarning: (message) => messages.push(`warning: ${message}`),
  })
  await report({ type: 'dataset', dataset })
  await report({ type: 'run', folder: run, settings, base, backend: 'wasm', validation })
  return report
}

const preview = (step: number, waveform: Waveform): TrainEvent => {
  return { type: 'preview', number: 1, step, path: run.preview(1, step), waveform }
}

const done = (state: 'finished' | 'stopped', step: number): TrainEvent => {
  return { type: 'done', state, step, steps: 4, folder: run, seconds: 1 }
}

/** Appends a step to the metrics file, as a run does. @returns its event. */
function step(step: number): TrainEvent {
  const line = { step, loss: 1 / step, sigmas: [0.5], seconds: 1, fixed_loss: 1 }
  appendFileSync(run.metrics, `${JSON.stringify(line)}\n`)
  return {
    ...{ type: 'step', step, steps: 4, loss: 1 / step, smoothedLoss: 1 / step, learningRate: 1e-4, gradientNorm: 1 },
    ...{ sigmas: [0.5], pairs: ['a'], seconds: 1, memoryBytes: 1e9 },
  }
}

/** Saves a LoRA of a step, as a run does. */
const saveLora = (path: string, step: number) => writeSafetensors(path, new Map(), { steps: String(step) })

const page = () => readFileSync(run.report, 'utf8')
const verdicts = () => JSON.parse(readFileSync(run.verdicts, 'utf8'))

describe('the report of a run', () => {
  test('contains the verdict on each preview and the best checkpoint', async () => {
    const report = await open()
    await report(preview(0, performance(9, { seconds: 2 })))
    for (const n of [1, 2]) await report(step(n))
    saveLora(run.checkpoint(2), 2)
    await report(preview(2, radio(reference)))
    for (const n of [3, 4]) await report(step(n))
    saveLora(run.lora, 4)
    await report(preview(4, reference))
    await report(done('finished', 4))
    const judged = verdicts().previews.map(({ step, word }: { step: number; word: string }) => [step, word])
    expect(judged).toEqual([
      [0, null],
      [2, 'transformed'],
      [4, 'copied'],
    ])
    expect(verdicts().best.step).toBe(2)
    expect(messages).toEqual([
      expect.stringMatching(
        /^Best checkpoint: step 2 \(1 of 1 preview transformed, fixed loss 1\.0000\), .*lora_weights_step_00002\.safetensors$/,
      ),
    ])
    expect(page()).toContain('finished')
    expect(page().match(/<audio/g)).toHaveLength(4)
  })

  test('compares previews with the target and the base when they are known', async () => {
    const report = await open([{ prompt: '', reference, target: radio(reference, 3) }])
    await report(preview(0, reference))
    saveLora(run.checkpoint(2), 2)
    await report(preview(2, radio(reference, 4)))
    saveLora(run.lora, 4)
    await report(preview(4, radio(reference, 3)))
    await report(step(4))
    await report(done('finished', 4))
    expect(verdicts().previews[2]).toMatchObject({ toTarget: expect.closeTo(0, 1), toBase: expect.any(Number) })
    expect(verdicts().best.reason).toContain('0.0 dB from the target')
  })

  test('begins with the held-out loss in words and as a chart, and names the best LoRA', async () => {
    const losses = [1, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9]
    for (const [i, held_out_loss] of losses.entries()) {
      const line = { step: 10 * i, fixed_loss: 1 - 0.1 * i, held_out_loss }
      appendFileSync(run.metrics, `${JSON.stringify(line)}\n`)
    }
    const report = createRunReport()
    await report({ type: 'dataset', dataset })
    const heldOut = ['pair-3', 'pair-9']
    const validation = [{ prompt: '', reference, target: reference, heldOut: 'pair-3' }]
    await report({ type: 'run', folder: run, settings, base, backend: 'wasm', validation, heldOut })
    await report(done('finished', 60))
    const [, main = ''] = page().split('<main>')
    const text = main.replace(/<[^>]*>/g, '')
    expect(text.trim()).toMatch(
      /^What it has learnedOverfitting since step 20: .*The LoRA to use: best\.safetensors, the LoRA of step 20, .* 0\.5000\..*Held out: pair-3, pair-9\./s,
    )
    expect(main.indexOf('<svg class="chart" ')).toBe(
      main.indexOf('<svg class="chart" viewBox="0 0 440 220" role="img" aria-label="Held-out and training loss"'),
    )
    expect(text).toContain('Preview 1: held-out pair pair-3')
  })

  test('recommends one LoRA where pairs are held out, and has its previews, the settings and the split', async () => {
    const losses = [1, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9]
    for (const [i, loss] of losses.entries()) {
      const average = { ema_fixed_loss: 1 - 0.1 * i, ema_held_out_loss: loss - 0.01 }
      const line = { step: 10 * i, fixed_loss: 1 - 0.1 * i, held_out_loss: loss, ...average }
      appendFileSync(run.metrics, `${JSON.stringify(line)}\n`)
    }
    const { settings } = resolveTrainSettings({
      options: { data: 'takes.zip', numberOfSteps: 60, holdout: 2, patience: 4, evalInterval: 10, windows: 'random' },
    })
    const report = createRunReport({ onInfo: (message) => messages.push(message) })
    await report({ type: 'dataset', dataset: { ...dataset, options: { ...dataset.options, windows: 'random' } } })
    const heldOut = ['pair-3', 'pair-9']
    const validation = [{ prompt: '', reference, target: reference, heldOut: 'pair-3' }]
    await report({ type: 'run', folder: run, settings, base, backend: 'wasm', validation, heldOut })
    for (const n of [20, 60]) {
      saveLora(run.checkpoint(n), n)
      await report(preview(n, radio(reference)))
    }
    const waveform = radio(reference, 3)
    replaceFile(run.bestPreview(1), [encodeWav(waveform)])
    await report({ type: 'preview', number: 1, step: 20, isBest: true, path: run.bestPreview(1), waveform })
    await report({
      ...done('finished', 60),
      best: { step: 20, heldOutLoss: 0.49, isAverage: true, path: run.best },
    } as TrainEvent)
    expect(messages).toEqual([]) // the run itself has named it
    expect(verdicts().best).toEqual({
      step: 20,
      reason: 'lowest held-out loss of the moving average, 0.4900',
      lora: 'best.safetensors',
    })
    expect(verdicts().previews.at(-1)).toMatchObject({ preview: 1, step: 20, isBest: true })
    const text =
      page()
        .split('<main>')[1]
        ?.replace(/<[^>]*>/g, '') ?? ''
    expect(text).toContain('The LoRA to use: best.safetensors, the moving average at step 20')
    expect(text).not.toContain('Best checkpoint')
    expect(text.match(/★ best/g)).toHaveLength(1)
    expect(text).toContain('best.safetensors: the moving average at step 20 ★ best')
    expect(page()).toContain('>best: step 20</text>')
    for (const row of ['windowsrandom', 'held-out pairs2', 'evaluation interval10 steps', 'patience4 evaluations'])
      expect(text).toContain(row)
    for (const row of ['pairs used17 of 20', 'pairs held out2', 'pairs longer than a clip19'])
      expect(text).toContain(row)
    expect(text).toContain('each step uses a clip from a random place')
    expect(text).not.toMatch(/trimmed/i)

    const before = verdicts()
    const again = createRunReport()
    await again({ type: 'dataset', dataset })
    await again({ type: 'run', folder: run, settings, base, backend: 'wasm', validation, heldOut })
    await again(done('finished', 60))
    expect(verdicts().previews).toEqual(before.previews.filter(({ isBest }: { isBest?: boolean }) => isBest))
  })

  test('is updated during the run, with a minimum interval', async () => {
    const report = await open([])
    await report(step(1))
    expect(page()).toContain('step 1 of 4')
    await report(step(2)) // within the minimum interval
    expect(page()).toContain('step 1 of 4')
    await report(done('stopped', 2))
    expect(page()).toContain('stopped after step 2 of 4')
    expect(existsSync(run.verdicts)).toBe(false)
  })

  test('includes the previews that were rendered before an interruption', async () => {
    replaceFile(run.preview(1, 2), [encodeWav(radio(reference))])
    saveLora(run.checkpoint(2), 2)
    for (const n of [1, 2]) step(n)
    const report = await open()
    for (const n of [3, 4]) await report(step(n))
    saveLora(run.lora, 4)
    await report(preview(4, reference))
    await report(done('finished', 4))
    expect(verdicts().previews.map(({ step }: { step: number }) => step)).toEqual([2, 4])
    expect(verdicts().best.step).toBe(2)
  })

  test('names no step as the best whose LoRA was not saved, nor one whose file was replaced', async () => {
    const report = await open()
    saveLora(run.lora, 1) // of a run of one step that was continued
    saveLora(run.checkpoint(2), 2)
    for (const n of [1, 2, 3]) {
      await report(step(n))
      await report(preview(n, n === 3 ? radio(reference) : reference))
    }
    await report(done('stopped', 3))
    expect(verdicts().best).toMatchObject({ step: 2, lora: 'checkpoints/lora_weights_step_00002.safetensors' })
    saveLora(run.lora, 4)
    await report(done('stopped', 3))
    expect(verdicts().best).toBeNull() // a single step is no choice
    expect(page()).toContain('Not chosen: only one step has both previews and a saved LoRA')
  })

  test('leaves out previews of steps that an interrupted run does again', async () => {
    for (const n of [0, 3]) replaceFile(run.preview(1, n), [encodeWav(radio(reference))])
    step(2)
    const report = await open()
    await report(done('stopped', 2))
    expect(verdicts().previews.map(({ step }: { step: number }) => step)).toEqual([0])
  })

  test('has the same verdicts and sounds of a preview before and after an interruption', async () => {
    const rendered = radio(reference, 3)
    const report = await open()
    await report(step(2))
    for (const n of [0, 2]) {
      replaceFile(run.preview(1, n), [encodeWav(rendered)])
      await report(preview(n, rendered))
    }
    await report(done('stopped', 2))
    const before = { verdicts: verdicts(), sounds: page().match(/data:audio[^"]*/g) }
    const resumed = await open()
    await resumed(done('stopped', 2))
    expect({ verdicts: verdicts(), sounds: page().match(/data:audio[^"]*/g) }).toEqual(before)
  })

  test('compares previews with the distance of reconstructions, unless it is unknown', async () => {
    const silence = { sampleRate: 16_000, channels: [new Float32Array(32_000), new Float32Array(32_000)] }
    const report = await open()
    await report({ type: 'reconstruction', name: 'silent', original: silence, reconstructed: silence })
    await report(preview(4, radio(reference)))
    await report(done('finished', 4))
    const [unknown] = verdicts().previews
    run = createRunFolder(mkdtempSync(join(folder, 'run-')), {
      ...{ tool: 'ltx-a2a', training_type: 'audio_to_audio_lora', trigger_phrase: '', parameters: {} },
    })
    const other = await open()
    await other(preview(4, radio(reference)))
    await other(done('finished', 4))
    expect(unknown).toEqual(verdicts().previews[0])
  })

  test('that cannot be written is a warning, and the run continues', async () => {
    const report = await open([])
    rmSync(run.path, { recursive: true })
    replaceFile(run.path, ['in the way'])
    await report(done('stopped', 0))
    expect(messages).toEqual([expect.stringMatching(/^warning: the report could not be written/)])
  })
})

describe('the TensorBoard listener', () => {
  const start = (): TrainEvent => {
    return { type: 'run', folder: run, settings, base, backend: 'wasm', validation: [] }
  }
  const written = () => readdirSync(run.tensorboard).map((name) => readFileSync(join(run.tensorboard, name), 'latin1'))
  const count = (text: string | undefined, word: string) => (text ?? '').split(word).length - 1

  test('writes the values of each step, the fixed loss and the previews', () => {
    const listener = createTensorBoardListener()
    listener(start())
    listener({ type: 'evaluation', step: 0, fixedLoss: 2 })
    for (const n of [1, 2]) listener(step(n))
    listener({ type: 'evaluation', step: 2, fixedLoss: 1 })
    listener(preview(2, reference))
    const [text] = written()
    expect(readdirSync(run.tensorboard)).toEqual([expect.stringContaining('tfevents')])
    expect(['fixed_loss', 'gradient_norm', 'preview 1'].map((word) => count(text, word))).toEqual([2, 2, 1])
  })

  test('writes the held-out loss and the losses of the moving average where there are any', () => {
    const listener = createTensorBoardListener()
    listener(start())
    const losses = { fixedLoss: 2, heldOutLoss: 3, emaFixedLoss: 2, emaHeldOutLoss: 3 }
    listener({ type: 'evaluation', step: 1, ...losses })
    const [text] = written()
    for (const tag of ['fixed_loss', 'held_out_loss', 'ema_fixed_loss', 'ema_held_out_loss'])
      expect(text).toContain(tag)
  })

  test('warns once when events cannot be written', () => {
    replaceFile(run.tensorboard, ['in the way'])
    const listener = createTensorBoardListener({ onWarning: (message) => messages.push(message) })
    listener(start())
    for (const n of [1, 2]) listener(step(n))
    expect(messages).toEqual([expect.stringMatching(/^the events for TensorBoard could not be written/)])
  })
})

test('the target of a validation reference is found in the same folder', () => {
  const start = writeWav(join(folder, 'take_start.wav'), tone(0.1))
  expect(groundTruthOf(start)).toBeUndefined()
  const end = writeWav(join(folder, 'take_end.wav'), tone(0.1))
  expect(groundTruthOf(start)).toBe(end)
  expect(groundTruthOf(end)).toBeUndefined()
  expect(groundTruthOf('https://example.com/take_start.wav')).toBeUndefined()
})
