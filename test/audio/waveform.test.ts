import { expect, test } from 'vitest'
import {
  deinterleave,
  durationOf,
  firstSamples,
  interleave,
  normalizePeak,
  peak,
  toDbfs,
} from '../../src/audio/waveform.ts'

const waveform = { sampleRate: 4, channels: [Float32Array.of(0.1, 0.2, 0.3), Float32Array.of(-0.5, 0, 0.25)] }

test('interleaving orders samples by frame and is reversed by deinterleaving', () => {
  const mixed = interleave(waveform)
  expect(mixed).toEqual(Float32Array.of(0.1, -0.5, 0.2, 0, 0.3, 0.25))
  expect(deinterleave(mixed, 2, 4)).toEqual(waveform)
})

test('an incomplete last frame is dropped', () => {
  expect(deinterleave(Float32Array.of(1, 2, 3), 2, 4).channels).toEqual([Float32Array.of(1), Float32Array.of(2)])
})

test('the peak is the largest absolute sample of all channels', () => {
  expect(peak(waveform)).toBe(0.5)
  expect(peak({ sampleRate: 4, channels: [] })).toBe(0)
})

test('levels are decibels relative to full scale', () => {
  expect(toDbfs(1)).toBe(0)
  expect(toDbfs(0.5)).toBeCloseTo(-6.0206, 4)
})

test('firstSamples returns the requested samples, or all of a shorter waveform', () => {
  expect(firstSamples(waveform, 1).channels).toEqual([Float32Array.of(0.1), Float32Array.of(-0.5)])
  expect(durationOf(firstSamples(waveform, 9))).toBe(0.75)
})

test('normalizing sets the peak to −1 dBFS and preserves the channel balance', () => {
  const normalized = normalizePeak(waveform)
  expect(toDbfs(peak(normalized))).toBeCloseTo(-1, 5)
  const [left, right] = normalized.channels as [Float32Array, Float32Array]
  expect((left[2] as number) / (right[2] as number)).toBeCloseTo(1.2, 5)
})

test('normalizing attenuates a louder waveform', () => {
  expect(toDbfs(peak(normalizePeak({ sampleRate: 4, channels: [Float32Array.of(2, -3)] })))).toBeCloseTo(-1, 5)
})

test('silence and dither below −80 dBFS are not amplified', () => {
  const dither = { sampleRate: 4, channels: [Float32Array.of(1 / 32768, -1 / 32768, 0)] }
  expect(normalizePeak(dither)).toBe(dither)
})
