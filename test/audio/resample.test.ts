import { expect, test } from 'vitest'
import { resample } from '../../src/audio/resample.ts'
import { tone } from './signals.ts'

test('resampling to the same rate returns the same waveform', () => {
  const waveform = tone(0.1, { sampleRate: 16_000 })
  expect(resample(waveform, 16_000)).toBe(waveform)
})

test.each([
  [8000, 801, 1602],
  [11_025, 7717, 11_200],
  [44_100, 220_500, 80_000],
  [48_000, 1, 1],
  [96_000, 13, 3],
])('at %i Hz, %i samples become %i samples at 16 kHz', (sampleRate, samples, expected) => {
  const resampled = resample({ sampleRate, channels: [new Float32Array(samples)] }, 16_000)
  expect(resampled.channels[0]?.length).toBe(expected)
  expect(resampled.sampleRate).toBe(16_000)
})

test.each([8000, 22_050, 44_100, 48_000, 192_000])('a 440 Hz tone sampled at %i Hz is preserved', (sampleRate) => {
  const [resampled] = resample(tone(0.2, { sampleRate, channels: 1 }), 16_000).channels as [Float32Array]
  const [expected] = tone(0.2, { sampleRate: 16_000, channels: 1 }).channels as [Float32Array]
  const inner = [...resampled].slice(200, -200)
  const errors = inner.map((sample, i) => Math.abs(sample - (expected[i + 200] as number)))
  expect(Math.max(...errors)).toBeLessThan(2e-3)
})

test('frequencies above the new Nyquist frequency are removed', () => {
  const [resampled] = resample(tone(0.2, { sampleRate: 48_000, channels: 1, hertz: 12_000 }), 16_000).channels as [
    Float32Array,
  ]
  expect(Math.max(...resampled.subarray(200, -200).map(Math.abs))).toBeLessThan(1e-3)
})
