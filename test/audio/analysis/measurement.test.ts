import { expect, test } from 'vitest'
import { createSideMeter } from '../../../src/audio/analysis/measurement.ts'
import { interleave, type Waveform } from '../../../src/audio/waveform.ts'
import { tone } from '../signals.ts'

function measure(waveform: Waveform, { headSeconds = 10, blockFrames = 777, isLossy = false } = {}) {
  const meter = createSideMeter(headSeconds, { isLossy })
  const format = { sampleRate: waveform.sampleRate, channelCount: waveform.channels.length }
  const samples = interleave(waveform)
  const step = blockFrames * format.channelCount
  for (let at = 0; at < samples.length; at += step) meter.add(samples.subarray(at, at + step), format)
  return meter
}

const changed = ({ sampleRate, channels }: Waveform, change: (sample: number, i: number) => number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.map(change)),
})

test('a clean tone has no defects', () => {
  const { loudness, ...defects } = measure(tone(1)).read()
  expect(defects).toMatchObject({ clippedPlaces: 0, silentShare: 0, silentStartSeconds: 0, silentEndSeconds: 0 })
  expect(Math.abs(defects.offset)).toBeLessThan(1e-3)
  expect(loudness).toBeLessThan(-5)
})

test('each run of clipped samples is counted once per channel', () => {
  const clipped = changed(tone(1, { hertz: 100, channels: 1, level: 1.5 }), (x) => Math.max(-1, Math.min(1, x)))
  expect(measure(clipped).read().clippedPlaces).toBe(200)
  expect(measure(clipped, { blockFrames: 2 }).read().clippedPlaces).toBe(200)
})

test('two consecutive samples at full scale do not count as clipping, three do', () => {
  const { sampleRate, channels } = tone(1, { channels: 1 })
  channels[0]?.set([1, 1], 1000)
  expect(measure({ sampleRate, channels }).read().clippedPlaces).toBe(0)
  channels[0]?.set([1, 1, 1], 2000)
  expect(measure({ sampleRate, channels }).read().clippedPlaces).toBe(1)
})

test('a float file with peaks above full scale is not clipped', () => {
  expect(measure(tone(2, { hertz: 100, level: 1.5 })).read().clippedPlaces).toBe(0)
  expect(measure(tone(2, { hertz: 100, level: 4 })).read().clippedPlaces).toBe(0)
})

test('a float file with flat tops above full scale is clipped', () => {
  const flat = changed(tone(1, { hertz: 100, channels: 1, level: 3 }), (x) => Math.max(-2, Math.min(2, x)))
  expect(measure(flat).read().clippedPlaces).toBe(200)
  expect(measure(flat, { blockFrames: 1 }).read().clippedPlaces).toBe(200)
})

test('the uneven tops that a lossy codec makes of clipped ones are counted', () => {
  const { sampleRate, channels } = tone(1, { channels: 1 })
  channels[0]?.set([1.02, 1.05, 1.03], 1000)
  expect(measure({ sampleRate, channels }, { isLossy: true }).read().clippedPlaces).toBe(1)
  expect(measure({ sampleRate, channels }).read().clippedPlaces).toBe(0)
})

test('a silent channel and channels that cancel each other are recognized', () => {
  const { sampleRate, channels } = tone(1)
  const [left, right] = channels as [Float32Array, Float32Array]
  const silence = left.map(() => 0)
  const read = (...channels: Float32Array[]) => {
    const { channelsCancel, silentChannels } = measure({ sampleRate, channels }).read()
    return { channelsCancel, silentChannels }
  }
  expect(read(left, right)).toEqual({ channelsCancel: false, silentChannels: [] })
  expect(read(left, silence)).toEqual({ channelsCancel: false, silentChannels: [1] })
  expect(read(silence, silence)).toEqual({ channelsCancel: false, silentChannels: [0, 1] })
  const inverted = left.map((x) => -x)
  expect(read(left, inverted)).toEqual({ channelsCancel: true, silentChannels: [] })
  const withOffset = (channel: Float32Array) => channel.map((x) => x + 0.4)
  expect(read(withOffset(left), withOffset(inverted))).toEqual({ channelsCancel: true, silentChannels: [] })
})

test('silence is measured at the start, at the end and in total', () => {
  const gappy = changed(tone(4, { channels: 1 }), (x, i) => {
    const seconds = i / 44_100
    return seconds < 0.5 || seconds >= 3 || (seconds >= 1 && seconds < 1.5) ? 0 : x
  })
  const sound = measure(gappy).read()
  expect(sound.silentStartSeconds).toBeCloseTo(0.5, 1)
  expect(sound.silentEndSeconds).toBeCloseTo(1, 1)
  expect(sound.silentShare).toBeCloseTo(0.5, 2)
})

test('the DC offset is the signed offset of the worst channel', () => {
  const { sampleRate, channels } = tone(1)
  const [left, right] = channels as [Float32Array, Float32Array]
  const sound = measure({ sampleRate, channels: [left.map((x) => x + 0.01), right.map((x) => x - 0.1)] }).read()
  expect(sound.offset).toBeCloseTo(-0.1, 3)
})

test('the head is kept in stereo, up to the requested duration', () => {
  const { sampleRate, channels } = measure(tone(2), { headSeconds: 0.5 }).head()
  expect([sampleRate, channels.length, channels[0]?.length]).toEqual([44_100, 2, 22_050])
  expect(channels).toEqual(tone(0.5).channels)
  expect(measure(tone(0.2), { headSeconds: 0.5 }).head().channels[0]?.length).toBe(8820)
})
