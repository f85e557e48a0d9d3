import { describe, expect, test } from 'vitest'
import { bands, logMelDistance, type Spectrogram } from '../../../src/audio/analysis/spectrogram.ts'
import {
  bestCheckpoint,
  envelopeCorrelation,
  judge,
  type Verdict,
  verdictWord,
} from '../../../src/audio/analysis/verdict.ts'
import type { Waveform } from '../../../src/audio/waveform.ts'
import { delayed, louder, noise, performance, radio, room } from './sounds.ts'

const reference = performance(1)
const target = radio(reference)

describe('the thresholds of a verdict', () => {
  const same = { follows: 1, timing: 1, toReference: 10 }

  test.each([
    [{ follows: 0.5, timing: 0 }, 'transformed'],
    [{ follows: 0.499, timing: 0 }, 'ignored'],
    [{ follows: 0, timing: 0.45 }, 'transformed'],
    [{ follows: 0, timing: 0.449 }, 'ignored'],
    [{ toReference: 3.5 }, 'transformed'],
    [{ toReference: 3.499 }, 'copied'],
    [{ toReference: null }, 'ignored'],
  ] as const)('classify %j as %s', (measured, word) => expect(verdictWord({ ...same, ...measured })).toBe(word))

  test.each([
    [{ toBase: 0.99 }, undefined, 'unchanged'],
    [{ toBase: 1 }, undefined, 'transformed'],
    [{ toBase: null }, undefined, 'transformed'],
    [{ toBase: 0, follows: 0, timing: 0 }, undefined, 'unchanged'],
    [{ toBase: 3, toTarget: 6 }, 6.1, 'transformed'],
    [{ toBase: 3, toTarget: 6 }, 6, 'off-target'],
    [{ toBase: 3, toTarget: 6 }, null, 'transformed'],
  ] as const)('classify %j, with the base %d dB from the target, as %s', (measured, baseToTarget, word) =>
    expect(verdictWord({ ...same, ...measured }, { baseToTarget })).toBe(word),
  )

  test('place the limit for a copy halfway between the reconstruction and the target', () => {
    const distances = { targetDistance: 12, reconstructionDistance: 4 }
    expect(verdictWord({ ...same, toReference: 7.99 }, distances)).toBe('copied')
    expect(verdictWord({ ...same, toReference: 8 }, distances)).toBe('transformed')
  })

  test.each([
    [0.09, 'copied', 1],
    [0.11, 'copied', 0], // the envelopes still correlate
    [0.2, 'ignored', 0],
  ])('classify a copy delayed by %d s as %s', (seconds, word, timing) => {
    const verdict = judge({ preview: delayed(reference, seconds), reference })
    expect(verdict.word).toBe(word)
    expect(verdict.timing).toBeCloseTo(timing, 1)
    expect(verdict.lagSeconds).toBeCloseTo(Math.min(seconds, 0.1), 6)
  })
})

describe('spectrogram cells far below the loudest cell', () => {
  /** Four bands at 0 dB, and all others at `level(frame)` decibels. */
  const spectrogram = (level: (frame: number) => number): Spectrogram => {
    const frames = 200
    const cells = (frame: number) => Array.from({ length: bands }, (_, band) => (band < 4 ? 0 : level(frame)))
    return { frames, bands, decibels: Float32Array.from(Array.from({ length: frames }, (_, i) => cells(i)).flat()) }
  }
  const pulsing = (loud: number) => spectrogram((frame) => (frame % 50 < 25 ? loud : -90))

  test.each([
    [-49, 1],
    [-51, 0],
  ])('at %d dB give an envelope correlation of %d', (loud, correlation) => {
    expect(envelopeCorrelation(pulsing(loud), pulsing(loud)).correlation).toBeCloseTo(correlation, 6)
  })

  test.each([
    [-59, true],
    [-61, false],
  ])('at %d dB are included in the distance: %s', (level, isCompared) => {
    const distance = logMelDistance(
      spectrogram(() => level),
      spectrogram(() => -90),
    ) as number
    expect(distance > 0).toBe(isCompared)
  })
})

describe('the verdict on a preview', () => {
  const at48 = performance(1, { sampleRate: 48_000 })
  const cases: [word: Verdict['word'], what: string, preview: Waveform][] = [
    ['copied', 'the reference itself', reference],
    ['copied', 'the reference at another sample rate and level', louder(at48, 0.3)],
    ['copied', 'the reference, slightly delayed and noisy', delayed(withNoise(reference, 0.0002), 0.02)],
    ['ignored', 'another performance', performance(7)],
    ['ignored', 'another performance with the radio effect', radio(performance(8))],
    ['ignored', 'noise', noise(3)],
    ['ignored', 'silence', louder(reference, 0)],
    ['transformed', 'the reference with the radio effect', radio(reference, 5)],
    ['transformed', 'the reference with the radio effect, delayed, at 48 kHz', delayed(radio(at48), 0.04)],
    ['transformed', 'the reference at another pitch', performance(1, { pitch: 1.5 })],
  ]
  test.each(cases)('is %s for %s', (word, _, preview) => expect(judge({ preview, reference }).word).toBe(word))

  test.each(cases)('is %s for %s with a known target', (word, _, preview) =>
    expect(judge({ preview, reference, target }).word).toBe(word),
  )

  test.each([30, 31, 32, 33, 34, 35, 36, 37, 38, 39])('is correct for performance %i', (seed) => {
    const reference = performance(seed)
    expect(judge({ preview: radio(reference), reference }).word).toBe('transformed')
    expect(judge({ preview: withNoise(reference, 0.0002), reference }).word).toBe('copied')
    expect(judge({ preview: radio(performance(seed + 100)), reference }).word).toBe('ignored')
  })

  test('is the same for a reference and a preview with an inverted channel', () => {
    const wide = (sound: Waveform) => ({
      ...sound,
      channels: [sound, louder(sound, -1)].flatMap(({ channels }) => channels),
    })
    expect(judge({ preview: wide(radio(reference)), reference: wide(reference) })).toEqual(
      judge({ preview: radio(reference), reference }),
    )
    expect(judge({ preview: wide(reference), reference }).word).toBe('copied')
  })

  test('changes from copied to transformed halfway between the reconstruction distance and the pair distance', () => {
    const preview = radio(reference)
    const { toReference } = judge({ preview, reference })
    const word = (pairDistance: number, reconstructionDistance?: number) =>
      judge({ preview, reference, pairDistance, reconstructionDistance }).word
    const distance = toReference as number
    expect([word(1.9 * distance), word(2.1 * distance)]).toEqual(['transformed', 'copied'])
    expect([word(1.5 * distance, 0.4 * distance), word(1.5 * distance, 0.6 * distance)]).toEqual([
      'transformed',
      'copied',
    ])
  })

  test('includes the measured values', () => {
    const base = noise(1)
    const verdict = judge({ preview: delayed(radio(reference, 5), 0.02), reference, target, base })
    expect(verdict.follows).toBeGreaterThan(0.7)
    expect(verdict.lagSeconds).toBeCloseTo(0.02, 6)
    expect(verdict.toTarget).toBeLessThan(verdict.toReference as number)
    expect(verdict.toBase).toBeGreaterThan(verdict.toTarget as number)
  })

  test('is not given for the base itself, before anything was learned', () => {
    const verdict = judge({ preview: radio(reference), reference, target, base: 'preview' })
    expect(verdict).toMatchObject({ word: null, toTarget: 0 })
    expect(verdict).not.toHaveProperty('toBase')
  })

  test('is unchanged for a preview that sounds like the base, although it sounds like a transformation', () => {
    const base = radio(reference, 5)
    expect(judge({ preview: louder(base, 0.8), reference, base }).word).toBe('unchanged')
    expect(judge({ preview: base, reference, base: noise(1) }).word).toBe('transformed')
  })

  test('is off-target for a preview that is further from the target than the base', () => {
    const pitched = performance(1, { pitch: 1.5 })
    expect(judge({ preview: pitched, reference, target, base: radio(reference, 5) }).word).toBe('off-target')
    expect(judge({ preview: radio(reference, 5), reference, target, base: pitched }).word).toBe('transformed')
  })

  test('is transformed for a preview equal to a known target that is near the reference', () => {
    const verdict = judge({ preview: room(reference), reference, target: room(reference) })
    expect(verdict).toMatchObject({ word: 'transformed', toTarget: 0 })
  })
})

describe('the best checkpoint', () => {
  const verdict = (word: Verdict['word'], toTarget?: number): Verdict => ({
    word,
    follows: 0.8,
    timing: 0.6,
    lagSeconds: 0,
    toReference: 6,
    ...(toTarget !== undefined && { toTarget }),
  })
  const transformed = verdict('transformed')

  test('has the most transformed previews', () => {
    const best = bestCheckpoint([
      { step: 250, verdicts: [transformed, transformed], fixedLoss: 0.5 },
      { step: 500, verdicts: [transformed, verdict('copied')], fixedLoss: 0.4 },
    ])
    expect(best).toEqual({ step: 250, reason: '2 of 2 previews transformed, fixed loss 0.5000' })
  })

  test('is the one nearest to the target among equals', () => {
    const steps = [5, 3, 4].map((distance, i) => ({ step: i + 1, verdicts: [verdict('transformed', distance)] }))
    expect(bestCheckpoint(steps)).toEqual({ step: 2, reason: '1 of 1 preview transformed, 3.0 dB from the target' })
  })

  test('has the lowest loss, then the highest step, when no target is known', () => {
    const steps = [0.4, 0.3, 0.3].map((fixedLoss, i) => ({ step: i + 1, verdicts: [transformed], fixedLoss }))
    expect(bestCheckpoint(steps)?.step).toBe(3)
    expect(bestCheckpoint([{ step: 100, verdicts: [], fixedLoss: 0.2 }])?.reason).toBe('fixed loss 0.2000')
  })

  test('is never step 0', () => {
    expect(bestCheckpoint([{ step: 0, verdicts: [transformed] }])).toBeUndefined()
  })
})

function withNoise(waveform: Waveform, level: number): Waveform {
  const [added] = noise(9, { level }).channels as [Float32Array]
  const channels = waveform.channels.map((channel) => channel.map((sample, i) => sample + (added[i] as number)))
  return { ...waveform, channels }
}
