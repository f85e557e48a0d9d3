import { describe, expect, test } from 'vitest'
import { type Fingerprint, findDuplicates, fingerprintOf } from '../../../src/audio/analysis/duplicates.ts'
import { comparePair, consistencyOf } from '../../../src/audio/analysis/pair-comparison.ts'
import { spectrogramOf } from '../../../src/audio/analysis/spectrogram.ts'
import { concatenateWaveforms, type Waveform } from '../../../src/audio/waveform.ts'
import { delayed, louder, noise, performance, radio, room } from './sounds.ts'

const compare = (reference: Waveform, target: Waveform) => comparePair(reference, target)

describe('a pair', () => {
  test('whose sides are the same is 0 dB apart, whatever their level', () => {
    const sound = performance(1)
    expect(compare(sound, louder(sound, 0.3)).comparison.distance).toBeCloseTo(0, 2)
  })

  test('is compared as if its sides were in sync', () => {
    const sound = performance(1)
    const [inSync, late] = [compare(sound, radio(sound)), compare(sound, delayed(radio(sound), 0.2))]
    expect(late.comparison.distance).toBeCloseTo(inSync.comparison.distance as number, 0)
  })

  test('of silence has no distance', () => {
    const silence = louder(performance(1), 0)
    expect(compare(silence, silence).comparison).toMatchObject({ common: 'nothing', distance: null })
  })

  test('may be shorter than a window', () => {
    const blip = noise(1, { seconds: 0.02 })
    expect(compare(blip, blip).comparison.distance).toBeNull()
  })
})

describe('recordings that occur twice', () => {
  const fingerprint = (sound: Waveform): Fingerprint => compare(sound, sound).features.reference
  const originals = Array.from({ length: 6 }, (_, seed) => fingerprint(performance(seed)))

  test('are found although they are cut, resampled, quieter and noisy', () => {
    const copies = [
      louder(performance(0), 0.1),
      delayed(performance(1), 0.4),
      performance(2, { sampleRate: 44_100 }),
      performance(3, { seconds: 2.4 }),
    ].map(fingerprint)
    expect(findDuplicates([...originals, ...copies])).toEqual([
      [0, 6],
      [1, 7],
      [2, 8],
      [3, 9],
    ])
  })

  test('are not other performances, nor steady sounds, nor other takes of the same transformation', () => {
    const steady = [1, 2, 3].map((seed) => fingerprint(noise(seed)))
    const radios = Array.from({ length: 6 }, (_, seed) => fingerprint(radio(performance(seed + 50))))
    expect(findDuplicates([...originals, ...steady, ...radios])).toEqual([])
  })
})

describe('a fingerprint', () => {
  const fingerprint = (...parts: number[]) =>
    fingerprintOf(spectrogramOf(concatenateWaveforms(parts.map((seed) => performance(seed)))))

  test('covers the first 15 seconds, 20 times a second', () => {
    expect([fingerprint(1, 2).frames, fingerprint(1, 2, 3, 4, 5, 6).frames]).toEqual([120, 300])
  })

  test('tells recordings apart that begin alike, and not those that differ only at the end', () => {
    const recording = fingerprint(1, 2, 3, 4, 5)
    expect(findDuplicates([recording, fingerprint(1, 2, 3, 4, 9)])).toEqual([])
    expect(findDuplicates([recording, fingerprint(1, 2, 3, 4, 5, 9)])).toEqual([[0, 1]])
  })
})

describe('what pairs do to their sounds', () => {
  const features = (change: (sound: Waveform) => Waveform, seed: number) =>
    compare(performance(seed), change(performance(seed))).features.transformation
  const seeds = [1, 2, 3, 4, 5, 6]
  const radios = seeds.map((seed) => features(radio, seed))

  test('is nearly the same when all become radios', () => {
    const consistency = consistencyOf(radios)
    expect(consistency?.share).toBeGreaterThan(0.7)
    expect(Math.min(...(consistency?.similarities ?? []))).toBeGreaterThan(0.5)
  })

  test('shows the pair whose sides are swapped', () => {
    const swapped = compare(radio(performance(9)), performance(9)).features.transformation
    expect(consistencyOf([...radios, swapped])?.similarities.at(-1)).toBeLessThan(-0.5)
  })

  test('has less in common when it is of two kinds', () => {
    const mixed = radios.map((feature, i) => (i % 2 === 0 ? feature : features(room, seeds[i] as number)))
    expect(consistencyOf(mixed)?.share).toBeLessThan((consistencyOf(radios)?.share ?? 0) - 0.2)
  })

  test('is unknown for two pairs', () => {
    expect(consistencyOf(radios.slice(0, 2))).toBeUndefined()
  })
})
