import { expect, test } from 'vitest'
import { logMel, logMelFrames, melFilterbank } from '../../src/audio/mel.ts'
import { concatenateSamples } from '../../src/audio/waveform.ts'
import { tone } from './signals.ts'

const options = { sampleRate: 16_000, nFft: 1024, hop: 160, melBins: 64 }

test('the filterbank has the published values', () => {
  const bank = melFilterbank(options)
  expect(bank[1 * 64]).toBeCloseTo(0.0072556408, 9)
  expect(bank[3 * 64]).toBeCloseTo(0.0213311523, 9)
  expect(bank[466 * 64 + 63]).toBeCloseTo(8.8092e-5, 8)
  expect(bank.reduce((sum, weight) => sum + weight)).toBeCloseTo(4.095880161, 7)
})

test('one second has 101 frames, ordered by channel, frame and mel bin', () => {
  const [low, high] = [418, 3950].map((hertz) => tone(1, { sampleRate: 16_000, channels: 1, hertz }))
  const mel = logMel({ sampleRate: 16_000, channels: [low, high].flatMap((side) => side?.channels ?? []) }, options)
  expect(mel).toMatchObject({ channels: 2, frames: 101, melBins: 64 })
  expect(loudestBin(mel.data.subarray(50 * 64, 51 * 64))).toBe(8) // its centre is corner 9, 9 · 46.4058 Hz
  expect(loudestBin(mel.data.subarray((101 + 50) * 64, (101 + 51) * 64))).toBe(49) // at (15 + ln(3.95) · 27 / ln 6.4) / 0.696087 − 1 = 49.25
})

test('other mel configurations of a checkpoint are supported', () => {
  const mel = logMel(tone(1, { sampleRate: 24_000 }), { sampleRate: 24_000, nFft: 512, hop: 240, melBins: 20 })
  expect(mel).toMatchObject({ channels: 2, frames: 101, melBins: 20 })
  expect(mel.data.every(Number.isFinite)).toBe(true)
})

test('some frames are computed as they are in the whole', () => {
  const waveform = tone(1, { sampleRate: 16_000 })
  const whole = logMel(waveform, options)
  for (const [from, to] of [
    [0, 1],
    [0, 101],
    [3, 50],
    [96, 101],
    [100, 101],
  ] as const) {
    const part = logMelFrames(waveform, from, to, options)
    const frames = [0, 1].map((c) => whole.data.subarray((c * 101 + from) * 64, (c * 101 + to) * 64))
    expect(part).toEqual({ channels: 2, frames: to - from, melBins: 64, data: concatenateSamples(frames) })
  }
})

test('a waveform with another sample rate or too short for reflection padding throws an error', () => {
  expect(() => logMel(tone(1), options)).toThrow('the waveform has 44100 Hz, the log-mel front end needs 16000 Hz')
  expect(() => logMel(tone(0.032, { sampleRate: 16_000 }), options)).toThrow('the waveform has 512 samples')
})

const loudestBin = (frame: Float32Array) => frame.indexOf(Math.max(...frame))
