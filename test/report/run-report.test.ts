import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeWav } from '../../src/audio/wav.ts'
import type { Terminal } from '../../src/cli/terminal/terminal.ts'
import { resolveTrainSettings } from '../../src/config/settings.ts'
import { openBaseModel } from '../../src/model/base-model.ts'
import { replaceFile } from '../../src/platform/files.ts'
import { openRunReport } from '../../src/report/run-report.ts'
import { createRunFolder, type RunFolder } from '../../src/train/run-folder.ts'
import type { ValidationClip } from '../../src/train/validation.ts'
import { knownTarget } from '../../src/train/validation.ts'
import { performance, radio } from '../audio/analysis/sounds.ts'
import { tone, writeWav } from '../audio/signals.ts'
import { dataset } from '../pages/run.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const reference = performance(1, { seconds: 2 })
const flags = { trainingDataUrl: 'takes.zip', numberOfSteps: '4', devAllowFewSteps: true } as const
const { settings } = resolveTrainSettings({ flags })
const base = openBaseModel()

let run: RunFolder
let said: string[]
const terminal = {
  note: (line: string) => said.push(line),
  warn: (line: string) => said.push(`warning: ${line}`),
} as Partial<Terminal> as Terminal

beforeEach(() => {
  const config = { tool: 'ltx-a2a', training_type: 'audio_to_audio_lora', trigger_phrase: '', parameters: {} } as const
  run = createRunFolder(mkdtempSync(join(folder, 'run-')), config)
  said = []
})

const open = (clips: ValidationClip[] = [{ prompt: 'v1ntage radio', reference }]) =>
  openRunReport({ run, settings, dataset, base, backend: 'wasm', clips }, terminal)

const train = (...steps: number[]) => {
  for (const step of steps)
    appendFileSync(
      run.metrics,
      `${JSON.stringify({ step, loss: 1 / step, sigmas: [0.5], seconds: 1, fixed_loss: 1 })}\n`,
    )
}

const page = () => readFileSync(run.report, 'utf8')
const verdicts = () => JSON.parse(readFileSync(run.verdicts, 'utf8'))

describe('the report of a run', () => {
  test('judges each preview, and names the best checkpoint at the end', async () => {
    const report = await open()
    await report.addPreview(1, 0, performance(9, { seconds: 2 }))
    train(1, 2)
    await report.addPreview(1, 2, radio(reference))
    train(3, 4)
    await report.addPreview(1, 4, reference)
    await report.finish()
    const judged = verdicts().previews.map(({ step, word }: { step: number; word: string }) => [step, word])
    expect(judged).toEqual([
      [0, 'ignored'],
      [2, 'transformed'],
      [4, 'copied'],
    ])
    expect(verdicts().best.step).toBe(2)
    expect(said).toEqual([
      expect.stringMatching(/^Best checkpoint: step 2 \(1 of 1 preview transformed, fixed loss 1\.0000\)$/),
    ])
    expect(page()).toContain('finished')
    expect(page().match(/<audio/g)).toHaveLength(4)
  })

  test('compares with the target and the base where they are known', async () => {
    const report = await open([{ prompt: '', reference, target: radio(reference, 3) }])
    await report.addPreview(1, 0, reference)
    await report.addPreview(1, 4, radio(reference, 3))
    await report.finish()
    expect(verdicts().previews[1]).toMatchObject({ toTarget: 0, toBase: expect.any(Number) })
    expect(verdicts().best.reason).toContain('0.0 dB from the target')
  })

  test('is written while the run goes, when there is something new', async () => {
    const report = await open([])
    train(1)
    await report.refresh()
    expect(page()).toContain('step 1 of 4')
    train(2)
    await report.refresh() // too soon
    expect(page()).toContain('step 1 of 4')
    await report.finish()
    expect(page()).toContain('stopped after step 2 of 4')
    expect(existsSync(run.verdicts)).toBe(false)
  })

  test('remembers the previews that a run made before it was interrupted', async () => {
    replaceFile(run.preview(1, 2), [encodeWav(radio(reference))])
    train(1, 2)
    const report = await open()
    train(3, 4)
    await report.addPreview(1, 4, reference)
    await report.finish()
    expect(verdicts().previews.map(({ step }: { step: number }) => step)).toEqual([2, 4])
    expect(verdicts().best.step).toBe(2)
  })

  test('tells TensorBoard, once for each step', async () => {
    const report = await open()
    train(1, 2)
    await report.addPreview(1, 2, reference)
    await report.refresh()
    train(3, 4)
    await report.finish()
    const [name = ''] = readdirSync(run.tensorboard)
    const text = readFileSync(join(run.tensorboard, name), 'latin1')
    const count = (word: string) => text.split(word).length - 1
    expect([name.includes('tfevents'), count('fixed_loss'), count('preview 1')]).toEqual([true, 4, 1])
  })

  test('that cannot be written costs a warning, not the training', async () => {
    const report = await open([])
    rmSync(run.path, { recursive: true })
    replaceFile(run.path, ['in the way'])
    await report.finish()
    expect(said).toEqual([expect.stringMatching(/^warning: the report could not be written/)])
  })
})

test('a validation reference knows its target when it lies beside it', () => {
  const start = writeWav(join(folder, 'take_start.wav'), tone(0.1))
  expect(knownTarget(start)).toBeUndefined()
  const end = writeWav(join(folder, 'take_end.wav'), tone(0.1))
  expect(knownTarget(start)).toBe(end)
  expect(knownTarget(end)).toBeUndefined()
  expect(knownTarget('https://example.com/take_start.wav')).toBeUndefined()
})
