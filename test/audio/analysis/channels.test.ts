import { describe, expect, test } from 'vitest'
import { mixToMono, toMono } from '../../../src/audio/analysis/channels.ts'
import type { Waveform } from '../../../src/audio/waveform.ts'
import { noise, performance } from './sounds.ts'

const channelsCancel = (waveform: Waveform) => mixToMono(waveform).channelsCancel

const sampleRate = 16_000
const [sound] = performance(1).channels as [Float32Array]
const [other] = performance(2).channels as [Float32Array]
const scaled = (channel: Float32Array, gain: number) => channel.map((sample) => sample * gain)
const mono = (...channels: Float32Array[]) => toMono({ sampleRate, channels }).channels

describe('a recording in mono', () => {
  test('is the mean of its channels', () => {
    expect(mono(sound)).toEqual([sound])
    expect(mono(sound, sound)).toEqual([sound])
    const means = sound.map((sample, i) => (sample + (other[i] as number)) / 2)
    expect(mono(sound, other)).toEqual([means])
    expect(
      mono(
        sound,
        sound.map(() => 0),
      ),
    ).toEqual([scaled(sound, 0.5)])
  })

  test('is not silence where one channel is inverted, but the louder channel', () => {
    expect(mono(sound, scaled(sound, -1))).toEqual([sound])
    expect(mono(scaled(sound, -0.75), sound)).toEqual([sound])
  })

  test('is not silence where four channels cancel each other', () => {
    expect(mono(sound, scaled(other, -1), scaled(sound, -1), other)).toHaveLength(1)
    expect(mono(scaled(sound, 0.9), scaled(sound, -1), scaled(sound, -0.9), sound)).toEqual([scaled(sound, -1)])
  })

  test('is silence only for silence', () => {
    expect(mono(scaled(sound, 0), scaled(sound, 0))).toEqual([scaled(sound, 0)])
  })
})

describe('channels cancel each other', () => {
  const withSide = (side: number) => ({
    sampleRate,
    channels: [1, -1].map((sign) => sound.map((sample, i) => sample + sign * side * (other[i] as number))),
  })

  test('for an inverted channel, not for wide stereo, unrelated channels or a single one', () => {
    expect(channelsCancel({ sampleRate, channels: [sound, scaled(sound, -1)] })).toBe(true)
    for (const side of [0, 0.5, 1, 2]) expect(channelsCancel(withSide(side))).toBe(false)
    expect(channelsCancel(noise(1, { channels: 2 }))).toBe(false)
    expect(channelsCancel(noise(1, { channels: 8 }))).toBe(false)
    expect(channelsCancel(performance(1))).toBe(false)
  })
})
