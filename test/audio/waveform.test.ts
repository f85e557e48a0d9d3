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

test('interleaving puts the channels of a moment side by side, and back', () => {
  const mixed = interleave(waveform)
  expect(mixed).toEqual(Float32Array.of(0.1, -0.5, 0.2, 0, 0.3, 0.25))
  expect(deinterleave(mixed, 2, 4)).toEqual(waveform)
})

test('an incomplete last frame is dropped', () => {
  expect(deinterleave(Float32Array.of(1, 2, 3), 2, 4).channels).toEqual([Float32Array.of(1), Float32Array.of(2)])
})

test('the peak is the loudest sample of any channel, whatever its sign', () => {
  expect(peak(waveform)).toBe(0.5)
  expect(peak({ sampleRate: 4, channels: [] })).toBe(0)
})

test('levels are decibels relative to full scale', () => {
  expect(toDbfs(1)).toBe(0)
  expect(toDbfs(0.5)).toBeCloseTo(-6.0206, 4)
})

test('the first samples are a part of the whole, or the whole where it is shorter', () => {
  expect(firstSamples(waveform, 1).channels).toEqual([Float32Array.of(0.1), Float32Array.of(-0.5)])
  expect(durationOf(firstSamples(waveform, 9))).toBe(0.75)
})

test('normalising brings the peak to −1 dBFS and keeps the balance of the channels', () => {
  const normalized = normalizePeak(waveform)
  expect(toDbfs(peak(normalized))).toBeCloseTo(-1, 5)
  const [left, right] = normalized.channels as [Float32Array, Float32Array]
  expect((left[2] as number) / (right[2] as number)).toBeCloseTo(1.2, 5)
})

test('normalising turns down what is louder', () => {
  expect(toDbfs(peak(normalizePeak({ sampleRate: 4, channels: [Float32Array.of(2, -3)] })))).toBeCloseTo(-1, 5)
})

test('silence and dither below −80 dBFS are not lifted', () => {
  const dither = { sampleRate: 4, channels: [Float32Array.of(1 / 32768, -1 / 32768, 0)] }
  expect(normalizePeak(dither)).toBe(dither)
})
