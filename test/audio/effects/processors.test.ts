import { describe, expect, test } from 'vitest'
import { keepBand } from '../../../src/audio/effects/band-filter.ts'
import { clip, saturate } from '../../../src/audio/effects/distortion.ts'
import { addCrackle, addNoise, noiseColors } from '../../../src/audio/effects/noise.ts'
import { addReverb } from '../../../src/audio/effects/reverb.ts'
import type { BlockProcessor, SoundLevel } from '../../../src/audio/effects/stages.ts'
import { concatenateSamples, peakOf, toDbfs } from '../../../src/audio/waveform.ts'
import { randomFor, uniforms } from '../../../src/platform/random.ts'

const sampleRate = 16_000
const sound = uniforms(randomFor(1, 'sound'), 6 * sampleRate, -0.5, 0.5)
const rms = (samples: Float32Array) => Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length)

const levelOf = (samples: Float32Array, channelCount = 1): SoundLevel => ({
  sampleRate,
  channelCount,
  frames: samples.length / channelCount,
  peak: peakOf(samples),
  rms: rms(samples),
})

/** Processes in blocks of the given sizes, in turn. */
function run(create: (level: SoundLevel) => BlockProcessor, samples: Float32Array, sizes = [8192], channelCount = 1) {
  const processor = create(levelOf(samples, channelCount))
  const blocks: Float32Array[] = []
  for (let at = 0, i = 0; at < samples.length; i++) {
    const size = (sizes[i % sizes.length] as number) * channelCount
    blocks.push(processor.add(samples.subarray(at, at + size)))
    at += size
  }
  return concatenateSamples([...blocks, processor.end?.() ?? new Float32Array(0)])
}

const difference = (a: Float32Array, b: Float32Array) => a.map((x, i) => x - (b[i] as number))

describe('noise', () => {
  test.each(noiseColors)('%s has the signal-to-noise ratio that was asked for, within half a decibel', (color) => {
    const noisy = run(addNoise(randomFor(2), { color, snrDb: 12 }), sound)
    const ratio = toDbfs(rms(sound) / rms(difference(noisy, sound)))
    expect(Math.abs(ratio - 12)).toBeLessThan(color === 'white' ? 0.1 : color === 'pink' ? 0.5 : 1.5)
  })

  test('does not depend on the size of the blocks, and differs between channels', () => {
    const create = () => addNoise(randomFor(3), { color: 'pink', snrDb: 0 })
    const whole = run(create(), sound, [1e6], 2)
    expect(run(create(), sound, [100, 7, 4000], 2)).toEqual(whole)
    const noise = difference(whole, sound)
    expect(noise[1000]).not.toBe(noise[1001])
  })
})

test('crackle has the rate and the level that were asked for, and is the same in each channel', () => {
  const silence = new Float32Array(2 * 20 * sampleRate)
  silence[0] = silence[1] = 0.5 // the peak
  const create = addCrackle(randomFor(4), { perSecond: 10, levelDb: -12 })
  const clicks = difference(run(create, silence, [999], 2), silence)
  expect(peakOf(clicks)).toBeGreaterThan(0.06)
  expect(peakOf(clicks)).toBeLessThanOrEqual(0.5 * 10 ** (-12 / 20))
  expect(clicks.filter((_, i) => i % 2 === 0)).toEqual(clicks.filter((_, i) => i % 2 === 1))
  let [starts, quiet] = [0, 1000]
  for (let i = 0; i < clicks.length; i += 2) {
    if (clicks[i] !== 0 && quiet > 20) starts++
    quiet = clicks[i] === 0 ? quiet + 1 : 0
  }
  expect(starts).toBeGreaterThan(100)
  expect(starts).toBeLessThan(250)
})

test('clipping cuts off at its depth, and leaves the rest as it is', () => {
  const clipped = run(clip(6), sound)
  const limit = peakOf(sound) * 10 ** (-6 / 20)
  expect(peakOf(clipped)).toBeCloseTo(limit, 6)
  sound.forEach((x, i) => {
    if (Math.abs(x) < limit && clipped[i] !== x) throw new Error(`sample ${i} was changed`)
  })
})

test('saturation keeps the peak, and raises quiet sounds by at most the drive', () => {
  const saturated = run(saturate(12), sound)
  expect(peakOf(saturated)).toBeCloseTo(peakOf(sound), 5)
  const gain = (saturated[0] as number) / (sound[0] as number)
  expect(gain).toBeGreaterThanOrEqual(1)
  expect(toDbfs(rms(saturated) / rms(sound))).toBeLessThan(12)
})

test('a band filter has its gain at each frequency, and delays nothing', () => {
  const tone = (hertz: number) =>
    Float32Array.from({ length: 2 * sampleRate }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / sampleRate))
  const middle = (samples: Float32Array) => samples.subarray(0.5 * sampleRate, 1.5 * sampleRate)
  for (const [hertz, decibels] of [
    [1000, 0],
    [300, -3],
    [3000, -3],
    [150, -24.1],
    [6000, -24.1],
  ] as const) {
    const [before, after] = [middle(tone(hertz)), middle(run(keepBand(300, 3000), tone(hertz), [1000, 3]))]
    expect(Math.abs(toDbfs(rms(after) / rms(before)) - decibels), `${hertz} Hz`).toBeLessThan(0.2)
    const gain = rms(after) / rms(before)
    expect(
      peakOf(
        difference(
          after,
          before.map((x) => gain * x),
        ),
      ),
      `${hertz} Hz`,
    ).toBeLessThan(1e-3)
  }
  expect(run(keepBand(300, 3000), sound).length).toBe(sound.length)
})

describe('reverberation', () => {
  const options = { rt60: 0.4, directDb: 3 }
  const impulse = new Float32Array(2 * sampleRate)
  impulse[500] = 1

  test('keeps the direct sound in its place and at its level, and falls by 60 dB in its time', () => {
    const response = run(addReverb(randomFor(5), options), impulse, [1000])
    expect(response.length).toBe(impulse.length)
    expect(response[500]).toBeCloseTo(1, 5)
    expect(peakOf(response.subarray(0, 500))).toBeLessThan(1e-6)
    const tail = response.subarray(501, 500 + 0.4 * sampleRate)
    expect(toDbfs(1 / Math.sqrt(tail.reduce((sum, x) => sum + x * x, 0)))).toBeCloseTo(3, 2)
    const level = (seconds: number) => toDbfs(rms(tail.subarray(seconds * sampleRate, (seconds + 0.04) * sampleRate)))
    expect(level(0.06) - level(0.26)).toBeGreaterThan(25)
    expect(level(0.06) - level(0.26)).toBeLessThan(40)
    expect(peakOf(response.subarray(500 + 0.4 * sampleRate))).toBeLessThan(1e-6)
  })

  test('is the sum of its impulse response, over the borders of what is transformed at once', () => {
    const short = { ...options, rt60: 0.05 }
    const long = uniforms(randomFor(6), 2 ** 17 + 9000, -0.5, 0.5)
    const wet = run(addReverb(randomFor(5), short), long, [5000, 1])
    const response = run(addReverb(randomFor(5), short), impulse).subarray(500, 1400)
    expect(wet.length).toBe(long.length)
    for (const at of [0, 3, 1000, 2 ** 17 - 1, 2 ** 17, 2 ** 17 + 1, 2 ** 17 + 700, long.length - 1]) {
      const expected = response.reduce((sum, x, k) => sum + x * (long[at - k] ?? 0), 0)
      expect(Math.abs((wet[at] as number) - expected), `at ${at}`).toBeLessThan(1e-5)
    }
  })
})
