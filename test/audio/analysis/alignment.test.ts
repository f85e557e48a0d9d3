import { describe, expect, test } from 'vitest'
import { align } from '../../../src/audio/analysis/alignment.ts'
import { toMono } from '../../../src/audio/analysis/channels.ts'
import type { Waveform } from '../../../src/audio/waveform.ts'
import { delayed, louder, noise, performance, radio, room } from './sounds.ts'

const milliseconds = (first: Waveform, second: Waveform) => {
  const { lagSeconds } = align(toMono(first), toMono(second))
  return lagSeconds === null ? null : lagSeconds * 1000
}

const dry = performance(1)

describe('the lag of a target delayed by 37 ms is measured within 1 ms', () => {
  const cases: [what: string, target: Waveform][] = [
    ['otherwise identical', dry],
    ['with a radio effect', radio(dry)],
    ['with room echoes', room(dry)],
    ['quieter and with inverted polarity', louder(dry, -0.05)],
    ['at another sample rate', performance(1, { sampleRate: 44_100 })],
    ['shorter than the reference', performance(1, { seconds: 2 })],
  ]
  test.each(cases)('%s', (_, target) => {
    expect(Math.abs((milliseconds(dry, delayed(target, 0.037)) ?? Number.NaN) - 37)).toBeLessThan(1)
  })

  test('for ten different performances', () => {
    for (let seed = 2; seed < 12; seed++) {
      const sound = performance(seed, { seconds: 2 })
      expect(Math.abs((milliseconds(sound, delayed(radio(sound), 0.037)) ?? Number.NaN) - 37)).toBeLessThan(1)
    }
  })
})

test.each([-812, -20, 0, 3, 250])('a lag of %i ms is measured within 1 ms', (lag) => {
  expect(Math.abs((milliseconds(dry, delayed(radio(dry), lag / 1000)) ?? Number.NaN) - lag)).toBeLessThan(1)
})

test('a pitch-shifted target is aligned by its timing', () => {
  const higher = performance(1, { pitch: 1.37 })
  const alignment = align(dry, delayed(higher, 0.037))
  expect(alignment.common).toBe('timing')
  expect(Math.abs((alignment.lagSeconds ?? Number.NaN) * 1000 - 37)).toBeLessThan(5)
})

test('different performances have nothing in common', () => {
  for (let seed = 20; seed < 28; seed++) {
    const alignment = align(performance(seed), radio(performance(seed + 100)))
    expect(alignment).toMatchObject({ common: 'nothing', lagSeconds: null })
  }
  expect(align(noise(1), noise(2)).common).toBe('nothing')
})

test('a repeating sound matches by waveform but has no unambiguous lag', () => {
  const once = performance(1, { seconds: 0.5 }).channels[0] as Float32Array
  const repeated = {
    sampleRate: 16_000,
    channels: [Float32Array.from({ length: 48_000 }, (_, i) => once[i % 8000] ?? 0)],
  }
  const later = { ...repeated, channels: repeated.channels.map((channel) => channel.subarray(4000)) }
  expect(align(repeated, later)).toMatchObject({ common: 'waveform', lagSeconds: null })
})

test('silence has nothing in common with anything', () => {
  expect(align(dry, louder(dry, 0))).toEqual({
    common: 'nothing',
    lagSeconds: null,
    inverted: false,
    waveformMatch: 0,
    timingMatch: 0,
  })
})

describe('polarity', () => {
  const polarity = (...sounds: [Waveform, Waveform]) => align(...sounds).inverted

  test.each([1, 2, 3, 4])('of performance %i is inverted where the waveform is, also with a room effect', (seed) => {
    const sound = performance(seed)
    expect([polarity(sound, louder(sound, -0.5)), polarity(sound, louder(room(sound), -1))]).toEqual([true, true])
  })

  test.each([1, 2, 3, 4, 5, 6])(
    'of performance %i is not inverted by a radio, a room, or another performance',
    (seed) => {
      const sound = performance(seed)
      expect([radio(sound), room(sound), performance(seed + 20)].map((other) => polarity(sound, other))).toEqual([
        false,
        false,
        false,
      ])
    },
  )
})
