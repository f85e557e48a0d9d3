import { expect, test } from 'vitest'
import { openResampler, resample } from '../../src/audio/resample.ts'
import { concatenateSamples } from '../../src/audio/waveform.ts'
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

test.each([
  [48_000, 16_000],
  [16_000, 48_000],
  [44_100, 16_000],
  [48_000, 44_100],
  [8000, 16_000],
  [44_101, 16_000],
  [48_000, 191_999],
  [16_000, 16_000],
])('a stream from %i to %i Hz becomes what the whole becomes', (from, to) => {
  const whole = tone(2.5, { sampleRate: from, channels: 2 })
  const resampler = openResampler(from, to, 2)
  const blocks: Float32Array[][] = []
  for (let at = 0, length = 1; at < 2.5 * from; at += length, length = (length * 7919) % 20_011)
    blocks.push(resampler.push(whole.channels.map((channel) => channel.subarray(at, at + length))))
  blocks.push(resampler.finish())
  const joined = [0, 1].map((c) => concatenateSamples(blocks.map((block) => block[c] as Float32Array)))
  expect(joined).toEqual(resample(whole, to).channels)
})
