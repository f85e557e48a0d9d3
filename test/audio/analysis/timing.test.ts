/** Lag and drift over whole recordings, from windows of both. */
import { describe, expect, test } from 'vitest'
import {
  createWindowRecorder,
  isConstantLag,
  measureLagLine,
  recordWindowsAt,
  type WindowRecorder,
} from '../../../src/audio/analysis/timing.ts'
import { readPositions } from '../../../src/audio/interpolate.ts'
import { interleave, type Waveform } from '../../../src/audio/waveform.ts'
import { noise, performance, radio } from './sounds.ts'

const sampleRate = 16_000

/** Performances of 3 s, one after the other. */
function recording(seed: number, seconds: number): Waveform {
  const samples = new Float32Array(seconds * sampleRate)
  for (let at = 0; at < seconds; at += 3)
    samples.set(performance(100 * seed + at).channels[0] as Float32Array, at * sampleRate)
  return { sampleRate, channels: [samples] }
}

/** Later by `lag` seconds, and slower by `drift`. */
function shifted({ sampleRate, channels }: Waveform, lag: number, drift: number): Waveform {
  const step = 1 / (1 + drift)
  const read = (channel: Float32Array) =>
    readPositions(channel, { start: -lag * sampleRate * step, step, length: channel.length })
  return { sampleRate, channels: channels.map(read) }
}

function windowsOf(waveform: Waveform, recorder: WindowRecorder = createWindowRecorder(), blockFrames = 7777) {
  const { sampleRate, channels } = waveform
  const samples = interleave(waveform)
  const format = { sampleRate, channelCount: channels.length }
  const block = blockFrames * channels.length
  for (let at = 0; at < samples.length; at += block) recorder.add(samples.subarray(at, at + block), format)
  return recorder.windows()
}

const noLag = { lag: 0, drift: 0 }

const lineBetween = (first: Waveform, second: Waveform, seconds: number) =>
  measureLagLine(windowsOf(first), windowsOf(second), { guess: noLag, seconds })

describe('windows', () => {
  test('are at the same times, at most 16, and do not depend on the blocks', () => {
    const starts = (seconds: number, blockFrames?: number) =>
      windowsOf(noise(1, { seconds }), createWindowRecorder(), blockFrames).map(({ start }) => start)
    expect(starts(8.9)).toEqual([0, 3])
    expect(starts(9)).toEqual([0, 3, 6])
    expect(starts(60)).toEqual([0, 6, 12, 18, 24, 30, 36, 42, 48, 54])
    expect(starts(60, 1_000_000)).toEqual(starts(60, 100))
    const [, second] = windowsOf(noise(1, { seconds: 60 }))
    expect(second?.waveform.channels[0]?.subarray(0, 100)).toEqual(
      noise(1, { seconds: 60 }).channels[0]?.subarray(6 * sampleRate, 6 * sampleRate + 100),
    )
  })

  test('can be placed', () => {
    const [first, second, ...others] = windowsOf(noise(1, { seconds: 10 }), recordWindowsAt([1.5, 4, 8]))
    expect([first?.start, second?.start, others]).toEqual([1.5, 4, []])
  })
})

describe('a drift is measured', () => {
  test.each([
    ['small', 12, 0.1, 500],
    ['large', 12, 0.1, 9000],
    ['large, with a lag', 21, -0.8, -3000],
    ['large, of a longer recording', 45, 0.2, -9000],
  ])('%s', (_, seconds, lag, ppm) => {
    const sound = recording(1, seconds)
    const line = lineBetween(sound, shifted(sound, lag, ppm * 1e-6), seconds)
    expect(Math.abs((line?.drift ?? Number.NaN) * 1e6 - ppm)).toBeLessThan(3)
    expect(Math.abs((line?.lag ?? Number.NaN) - lag)).toBeLessThan(2e-4)
  })

  test('through a radio', () => {
    const sound = recording(2, 12)
    const line = lineBetween(sound, shifted(radio(sound), 0.1, 3e-3), 12)
    expect(Math.abs((line?.drift ?? Number.NaN) * 1e6 - 3000)).toBeLessThan(30)
  })
})

test('different performances and noise have no line', () => {
  expect(lineBetween(recording(3, 12), radio(recording(4, 12)), 12)).toBeUndefined()
  expect(lineBetween(noise(1, { seconds: 12 }), noise(2, { seconds: 12 }), 12)).toBeUndefined()
})

test('a lag is constant where it is the same at the beginning and at the end', () => {
  const sound = recording(5, 12)
  const isConstant = (target: Waveform, lag: number) =>
    isConstantLag(windowsOf(sound), windowsOf(target), { lag, seconds: 12 })
  expect(isConstant(shifted(sound, 0.1, 0), 0.1)).toBe(true)
  expect(isConstant(shifted(sound, 0.1, 0), 0.2)).toBe(false)
  expect(isConstant(shifted(sound, 0.1, 2e-3), 0.1)).toBe(false)
})
