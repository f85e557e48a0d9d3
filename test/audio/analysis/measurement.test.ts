import { expect, test } from 'vitest'
import { createSideMeter, silentShareWithin } from '../../../src/audio/analysis/measurement.ts'
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
  const { sampleRate, channels } = measure(tone(2), { headSeconds: 0.5 }).head().waveform
  expect([sampleRate, channels.length, channels[0]?.length]).toEqual([44_100, 2, 22_050])
  expect(channels).toEqual(tone(0.5).channels)
  expect(measure(tone(0.2), { headSeconds: 0.5 }).head().waveform.channels[0]?.length).toBe(8820)
})

test('the head begins half a second before the first sound, whatever the blocks are', () => {
  const { sampleRate, channels } = tone(8)
  const late = { sampleRate, channels: channels.map((channel) => channel.map((x, i) => (i < 4 * sampleRate ? 0 : x))) }
  for (const blockFrames of [777, 50_000, 500_000]) {
    const { start, waveform } = measure(late, { headSeconds: 2, blockFrames }).head()
    expect(start).toBeCloseTo(3.5, 1)
    const from = Math.round(start * sampleRate)
    expect(waveform.channels[0]).toEqual(late.channels[0]?.slice(from, from + 2 * sampleRate))
  }
  expect(
    measure(
      changed(tone(3), () => 0),
      { headSeconds: 2 },
    ).head().start,
  ).toBe(0)
})

test('levels say for each tenth of a second how loud it is, and how much of it is not silent', () => {
  const { sampleRate, channels } = tone(1, { channels: 1, level: 0.5, sampleRate: 11_025 })
  const half = { sampleRate, channels: channels.map((channel) => channel.map((x, i) => (i < sampleRate / 2 ? 0 : x))) }
  const levels = measure(half).levels()
  expect([levels.loudest.length, levels.loudest[4], levels.audible[4], levels.audible[9]]).toEqual([10, 0, 0, 5])
  expect(levels.loudest[7]).toBeCloseTo(0.5 / Math.SQRT2, 2)
  expect(silentShareWithin(levels, [{ from: 0.2, to: 0.7 }])).toBeCloseTo(0.6, 5)
})
