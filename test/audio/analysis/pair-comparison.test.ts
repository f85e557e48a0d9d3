import { describe, expect, test } from 'vitest'
import { comparePair, consistencyOf } from '../../../src/audio/analysis/pair-comparison.ts'
import type { Waveform } from '../../../src/audio/waveform.ts'
import { delayed, louder, noise, performance, radio, room } from './sounds.ts'

const compare = (reference: Waveform, target: Waveform) => comparePair(reference, target)

describe('the comparison of a pair', () => {
  test('returns a distance of 0 dB for equal sides, independent of their level', () => {
    const sound = performance(1)
    expect(compare(sound, louder(sound, 0.3)).comparison.distance).toBeCloseTo(0, 2)
  })

  test('compensates a lag between the sides', () => {
    const sound = performance(1)
    const [inSync, late] = [compare(sound, radio(sound)), compare(sound, delayed(radio(sound), 0.2))]
    expect(late.comparison.distance).toBeCloseTo(inSync.comparison.distance as number, 0)
  })

  describe('with an inverted channel', () => {
    const wide = (sound: Waveform) => ({
      ...sound,
      channels: [sound, louder(sound, -1)].flatMap(({ channels }) => channels),
    })
    const both = (sound: Waveform) => ({ ...sound, channels: [...sound.channels, ...sound.channels] })
    const sound = performance(1)
    const expected = compare(sound, radio(sound))

    test.each([
      ['on both sides', wide(sound), wide(radio(sound))],
      ['of the target', both(sound), wide(radio(sound))],
      ['of the reference', wide(sound), both(radio(sound))],
      ['of the target of a mono reference', sound, wide(radio(sound))],
    ])('%s is that of its sound', (_, reference, target) => expect(compare(reference, target)).toEqual(expected))

    test('finds what left and right have in common where their mean and their difference have nothing', () => {
      const [voice, left, right] = [performance(1), performance(2), performance(3)].map(
        ({ channels: [channel] }) => channel as Float32Array,
      ) as [Float32Array, Float32Array, Float32Array]
      const sum = (a: Float32Array, b: Float32Array, sign: number) => a.map((x, i) => x + sign * (b[i] as number))
      const { sampleRate } = sound
      const stereo = { sampleRate, channels: [sum(voice, left, 1), sum(voice, right, 1)] }
      const withoutVoice = { sampleRate, channels: [sum(left, right, -1), sum(right, left, -1)] }
      expect(compare(stereo, withoutVoice).comparison).toMatchObject({
        common: 'waveform',
        lagSeconds: expect.closeTo(0, 3),
      })
    })
  })

  test('returns no distance for silence', () => {
    const silence = louder(performance(1), 0)
    expect(compare(silence, silence).comparison).toMatchObject({ common: 'nothing', distance: null })
  })

  test('accepts sounds shorter than an analysis window', () => {
    const blip = noise(1, { seconds: 0.02 })
    expect(compare(blip, blip).comparison.distance).toBeNull()
  })
})

describe('the consistency of the transformations', () => {
  const features = (change: (sound: Waveform) => Waveform, seed: number) =>
    compare(performance(seed), change(performance(seed))).transformation
  const seeds = [1, 2, 3, 4, 5, 6]
  const radios = seeds.map((seed) => features(radio, seed))

  test('is high when all pairs have the radio effect', () => {
    const consistency = consistencyOf(radios)
    expect(consistency?.share).toBeGreaterThan(0.7)
    expect(Math.min(...(consistency?.similarities ?? []))).toBeGreaterThan(0.5)
  })

  test('gives a negative similarity for a pair with swapped sides', () => {
    const swapped = compare(radio(performance(9)), performance(9)).transformation
    expect(consistencyOf([...radios, swapped])?.similarities.at(-1)).toBeLessThan(-0.5)
  })

  test('is lower when the pairs have two different effects', () => {
    const mixed = radios.map((feature, i) => (i % 2 === 0 ? feature : features(room, seeds[i] as number)))
    expect(consistencyOf(mixed)?.share).toBeLessThan((consistencyOf(radios)?.share ?? 0) - 0.2)
  })

  test('is undefined for two pairs', () => {
    expect(consistencyOf(radios.slice(0, 2))).toBeUndefined()
  })
})

describe('a lag of more than a second', () => {
  test.each([2.5, -2.9])('of %f s is found', (lag) => {
    const sound = performance(1, { seconds: 6 })
    const { comparison } = compare(sound, delayed(radio(sound), lag))
    expect(comparison.common).toBe('waveform')
    expect(Math.abs((comparison.lagSeconds ?? Number.NaN) - lag)).toBeLessThan(1e-3)
  })

  test('of different performances is not', () => {
    for (let seed = 20; seed < 28; seed++)
      expect(compare(performance(seed), radio(performance(seed + 100))).comparison.common).toBe('nothing')
  })

  test('is found where the target begins later, from its first sound or at the same time', () => {
    const sound = performance(2, { seconds: 6 })
    const lagOf = (target: Waveform, targetLater: number) =>
      comparePair(sound, target, { targetLater }).comparison.lagSeconds ?? Number.NaN
    for (const later of [4, 8]) expect(Math.abs(lagOf(radio(sound), later) - later)).toBeLessThan(1e-3)
    const later = { ...sound, channels: sound.channels.map((channel) => channel.subarray(2 * sound.sampleRate)) }
    expect(Math.abs(lagOf(later, 2))).toBeLessThan(1e-3)
  })
})
