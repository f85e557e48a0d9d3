import { describe, expect, test } from 'vitest'
import { findFfmpeg } from '../../src/audio/ffmpeg.ts'
import { stretchTo } from '../../src/audio/stretch.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import { risesPerSecond, tone } from './signals.ts'

const { filters } = await findFfmpeg()
const available = (['rubberband', 'atempo'] as const).filter((filter) => filters.has(filter))

describe.each(available)('%s', (filter) => {
  test.each([
    [44_100, 5.3, 5],
    [48_000, 1.07, 1],
    [16_000, 2.01, 2],
  ])('at %i Hz stretches %f s to exactly %f s at the same pitch', async (sampleRate, before, after) => {
    const stretched = await stretchTo(tone(before, { sampleRate }), after * sampleRate, { filter })
    expect(stretched.sampleRate).toBe(sampleRate)
    expect(stretched.channels.map(({ length }) => length)).toEqual([after * sampleRate, after * sampleRate])
    const inner = (channel = 0) => stretched.channels[channel]?.subarray(1000, -1000) as Float32Array
    expect(risesPerSecond(inner(0), sampleRate) / 440).toBeCloseTo(1, 1)
    expect(risesPerSecond(inner(1), sampleRate) / 880).toBeCloseTo(1, 1)
  })

  test('preserves the relative position of events', async () => {
    const places = [0.1, 2, 3.7, 5.1]
    const stretched = await stretchTo(bursts(5.3, places), 5 * 44_100, { filter })
    for (const place of places) expect(burstNear(stretched, (place * 5) / 5.3)).toBeLessThan(0.02)
  })

  test('leaves no silence at the start or the end', async () => {
    const [channel] = (await stretchTo(tone(5.3), 5 * 44_100, { filter })).channels as [Float32Array]
    expect(Math.max(...channel.subarray(-441).map(Math.abs))).toBeGreaterThan(0.2)
    expect(Math.max(...channel.subarray(0, 441).map(Math.abs))).toBeGreaterThan(0.2)
  })
})

test('a waveform that already has the requested length is returned unchanged', async () => {
  const waveform = tone(0.5)
  expect(await stretchTo(waveform, 22_050)).toBe(waveform)
})

/** Tone bursts of a tenth of a second centred on the places. */
function bursts(seconds: number, places: number[]): Waveform {
  const samples = new Float32Array(seconds * 44_100)
  for (const place of places)
    for (let i = -2205; i < 2205; i++)
      samples[Math.round(place * 44_100) + i] = Math.cos((Math.PI * i) / 4410) ** 2 * Math.sin(0.0627 * i)
  return { sampleRate: 44_100, channels: [samples] }
}

/** The distance in seconds between a place and the centre of the energy around it. */
function burstNear({ channels }: Waveform, place: number): number {
  let [energy, moment] = [0, 0]
  for (let i = Math.floor(Math.max(0, place - 0.1) * 44_100); i < (place + 0.1) * 44_100; i++) {
    const power = ((channels[0] as Float32Array)[i] ?? 0) ** 2
    energy += power
    moment += power * (i / 44_100 - place)
  }
  return Math.abs(moment / energy)
}
