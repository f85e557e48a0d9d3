import { describe, expect, it } from 'vitest'
import type { RendererChoice } from '../../src/config/parameters.ts'
import { resolveTrainSettings, type TrainOptions } from '../../src/config/settings.ts'
import type { EncodedPair } from '../../src/encode/dataset.ts'
import type { RendererName } from '../../src/preview/renderer.ts'
import { differences, parseResumeCheck, previewChanges, resumeCheckOf } from '../../src/train/resume-check.ts'
import type { TrainerSettings } from '../../src/train/trainer.ts'

const settings: TrainerSettings = {
  ...{ rank: 4, alpha: 4, targetModules: ['audio_attn1.to_q', 'audio_ff.net.2'], seed: 1, accumulation: 1 },
  ...{ steps: 12, learningRate: 5e-3, schedule: 'linear' },
}

const matrix = (...values: number[]) => ({
  shape: [1, values.length] as [number, number],
  values: Float32Array.from(values),
})

const pair = (name: string): EncodedPair => ({
  name,
  target: matrix(1, 2),
  reference: matrix(3, 4),
  context: matrix(5, 6),
})

const before = resumeCheckOf('this base', [pair('drums'), pair('voice')], settings)
const differencesTo = (changed: Partial<TrainerSettings>, pairs = [pair('drums'), pair('voice')], base = 'this base') =>
  differences(before, resumeCheckOf(base, pairs, { ...settings, ...changed }))

describe('a resume check accepts', () => {
  it('the same run, also after serialization', () => {
    expect(differencesTo({})).toEqual([])
    expect(differences(parseResumeCheck(JSON.stringify(before)) ?? before, before)).toEqual([])
  })

  it('another number of steps, learning rate and schedule', () => {
    expect(differencesTo({ steps: 50, learningRate: 1, schedule: 'constant' })).toEqual([])
  })
})

describe('a resume check refuses', () => {
  it.each<[change: Partial<TrainerSettings>, difference: string]>([
    [{ rank: 8 }, 'rank was 4 and is now 8'],
    [{ alpha: 8 }, 'alpha was 4 and is now 8'],
    [{ seed: 2 }, 'seed was 1 and is now 2'],
    [{ accumulation: 2 }, 'gradient_accumulation was 1 and is now 2'],
    [{ targetModules: ['to_q'] }, 'target_modules was audio_attn1.to_q,audio_ff.net.2 and is now to_q'],
  ])('a change to %j', (change, difference) => expect(differencesTo(change)).toEqual([difference]))

  it('another base', () => {
    expect(differencesTo({}, undefined, 'that base')).toEqual(['base model was this base and is now that base'])
  })

  it.each(['target', 'reference', 'context'] as const)('another %s in one pair, in values or in shape', (side) => {
    const [one, two] = [matrix(7, 8), { ...pair('voice')[side], shape: [2, 1] as [number, number] }]
    for (const changed of [one, two])
      expect(differencesTo({}, [pair('drums'), { ...pair('voice'), [side]: changed }])).toEqual([
        'the pair voice has changed',
      ])
  })

  it('a missing or an additional pair', () => {
    expect(differencesTo({}, [pair('drums')])).toEqual(['the pair voice is gone'])
    expect(differencesTo({}, [pair('drums'), pair('voice'), pair('bell')])).toEqual(['the pair bell is new'])
  })
})

describe('the held-out pairs in a resume check', () => {
  const withHeldOut = (...heldOut: EncodedPair[]) => resumeCheckOf('this base', [pair('drums')], settings, heldOut)
  const saved = parseResumeCheck(JSON.stringify(withHeldOut(pair('voice')))) ?? before

  it('are compared by name and content, apart from the others', () => {
    expect(differences(saved, withHeldOut(pair('voice')))).toEqual([])
    expect(differences(saved, withHeldOut(pair('bell')))).toEqual([
      'the held-out pair voice is gone',
      'the held-out pair bell is new',
    ])
    expect(differences(saved, withHeldOut({ ...pair('voice'), target: matrix(9) }))).toEqual([
      'the held-out pair voice has changed',
    ])
    expect(differences(saved, withHeldOut())).toEqual(['the held-out pair voice is gone'])
  })

  it('and the moving average are not in that of a run without', () => {
    expect(before).not.toHaveProperty('heldOut')
    expect(before.settings).not.toHaveProperty('ema')
    expect(
      differences(before, resumeCheckOf('this base', [pair('drums'), pair('voice')], { ...settings, ema: 0.9 })),
    ).toEqual(['ema was unknown and is now 0.9'])
  })
})

it('other JSON is not parsed as a resume check', () => {
  for (const text of ['', '{}', '[]', '{"settings":{"rank":4},"pairs":[]}', '{"settings":{},"pairs":[["a"]]}'])
    expect(parseResumeCheck(text)).toBeUndefined()
})

it('the settings that make previews incomparable are named, and no others', () => {
  const options = { data: 'pairs', audioDurationSeconds: 1 }
  const resolve = (changed: Partial<TrainOptions>, renderer: RendererName = 'griffin-lim') => ({
    settings: resolveTrainSettings({ options: { ...options, ...changed } }).settings,
    renderer,
  })
  const changed = resolve({ previewSteps: 3, stgScale: 0, numberOfSteps: 3000, previewInterval: 7 })
  expect(previewChanges(resolve({}), changed).sort()).toEqual(['preview_steps', 'stg_scale'])
  expect(previewChanges(resolve({}), resolve({ validation: [{ referenceAudioUrl: 'a.wav' }] }))).toEqual(['validation'])
  expect(previewChanges(resolve({}), changed, ['preview_interval'])).toContain('preview_interval')
})

it('another renderer makes previews incomparable, but not the name of the same one', () => {
  const settings = (renderer: RendererChoice) =>
    resolveTrainSettings({ options: { data: 'pairs', audioDurationSeconds: 1, renderer } }).settings
  const automatic = { settings: settings('auto'), renderer: 'griffin-lim' } as const
  expect(previewChanges(automatic, { settings: settings('griffin-lim'), renderer: 'griffin-lim' })).toEqual([])
  expect(previewChanges(automatic, { settings: settings('auto'), renderer: 'vocoder' })).toEqual(['renderer'])
})
