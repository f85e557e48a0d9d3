import { setTimeout } from 'node:timers/promises'
import { describe, expect, it, test } from 'vitest'
import { findDuplicates } from '../../../src/audio/analysis/duplicates.ts'
import { createFingerprinter } from '../../../src/audio/analysis/fingerprint.ts'
import { concatenateWaveforms, type Waveform } from '../../../src/audio/waveform.ts'
import { fingerprintOf } from './fingerprints.ts'
import { delayed, louder, noise, performance, radio, room } from './sounds.ts'

const duplicatesOf = (sounds: readonly Waveform[]) =>
  findDuplicates(sounds.map((sound) => ({ fingerprint: fingerprintOf(sound), kind: 'reference' })))
const sameAs = async (...sounds: Waveform[]) => (await duplicatesOf(sounds)).same
const relatedTo = async (...sounds: Waveform[]) => (await duplicatesOf(sounds)).related

/** A part of a sound, in seconds. */
const part = ({ sampleRate, channels }: Waveform, from: number, to = Number.POSITIVE_INFINITY): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.slice(Math.round(from * sampleRate), Math.round(to * sampleRate))),
})
const inverted = (sound: Waveform) => ({ ...sound, channels: [...sound.channels, ...louder(sound, -1).channels] })
/** A steady tone with harmonics. */
const drone = (hertz: number): Waveform => ({
  sampleRate: 16_000,
  channels: [
    Float32Array.from({ length: 32_000 }, (_, i) =>
      [1, 2, 3, 4].reduce((sum, n) => sum + (0.1 / n) * Math.sin((2 * Math.PI * hertz * n * i) / 16_000), 0),
    ),
  ],
})

const recording = performance(1, { seconds: 12 })
const others = Array.from({ length: 6 }, (_, seed) => performance(seed + 10))

describe('of the same recording', () => {
  it.each([
    ['copies', recording],
    ['quieter copies', louder(recording, 0.05)],
    ['copies at another sample rate', performance(1, { seconds: 12, sampleRate: 44_100 })],
    ['copies that begin later', delayed(recording, 0.413)],
    ['copies without their first 3 seconds', part(recording, 3.0137)],
    ['copies without their last 6 seconds', part(recording, 0, 6.1)],
    ['copies with an inverted channel', inverted(recording)],
  ])('are %s', async (_, copy) => {
    expect(await sameAs(...others, recording, copy)).toEqual([0, 1, 2, 3, 4, 5, 6, 6])
  })

  test('are short copies', async () => {
    const short = part(recording, 0, 1)
    expect(await sameAs(short, delayed(short, 0.21))).toEqual([0, 0])
  })

  test('are copies of steady sounds', async () => {
    expect(await sameAs(noise(1), noise(2), noise(1), drone(110), drone(150), drone(110))).toEqual([0, 1, 0, 3, 4, 3])
  })

  test('are copies with copies in between', async () => {
    expect(await sameAs(...Array.from({ length: 20 }, () => recording))).toEqual(Array(20).fill(0))
  })

  test('are not different performances, noises, drones, silences or performances with the same effect', async () => {
    const steady = [1, 2, 3].map((seed) => noise(seed, { seconds: 6 }))
    const radios = Array.from({ length: 6 }, (_, seed) => radio(performance(seed + 50)))
    const silence = louder(noise(1), 0)
    const sounds = [...others, ...steady, ...radios, drone(110), drone(111), silence, silence]
    expect(await relatedTo(...sounds)).toEqual([...sounds.keys()])
  })

  test('are only recordings of one kind', async () => {
    const kinds = ['reference', 'target', 'reference']
    const recordings = kinds.map((kind) => ({ fingerprint: fingerprintOf(recording), kind }))
    expect(await findDuplicates(recordings)).toEqual({ same: [0, 1, 0], related: [0, 0, 0] })
  })
})

describe('the counterparts of the same recording', () => {
  const noisy = (sound: Waveform, seed: number): Waveform => {
    const [hiss] = noise(seed, { level: 0.02 }).channels as [Float32Array]
    return { ...sound, channels: sound.channels.map((channel) => channel.map((x, i) => x + (hiss[i] as number))) }
  }
  /** Two pairs of one reference, which begins later in the second, with these targets. */
  const pairsOf = (first: Waveform, second: Waveform, areCounterparts: boolean) => {
    const sides = [reference, first, delayed(reference, 0.2), delayed(second, 0.2)]
    return sides.map((sound, i) => ({
      fingerprint: fingerprintOf(sound),
      kind: i % 2 === 0 ? 'reference' : 'target',
      ...(areCounterparts && { counterpart: i ^ 1 }),
    }))
  }
  const reference = performance(1)
  const radios = [1, 2].map((seed) => noisy(radio(reference, seed), seed + 10)) as [Waveform, Waveform]

  test('are compared, and the same with other noise', async () => {
    expect((await findDuplicates(pairsOf(...radios, true))).same).toEqual([0, 1, 0, 1])
    expect((await findDuplicates(pairsOf(...radios, false))).same).toEqual([0, 1, 0, 3]) // no place has the same hash
  })

  test('of equal recordings are compared, too', async () => {
    const [first, second] = radios
    const sides = [reference, first, reference, second]
    const recordings = sides.map((sound, i) => ({
      ...{ fingerprint: fingerprintOf(sound), kind: i % 2 === 0 ? 'reference' : 'target', counterpart: i ^ 1 },
    }))
    expect((await findDuplicates(recordings)).same).toEqual([0, 1, 0, 1])
  })

  test('are not the same with another effect', async () => {
    expect((await findDuplicates(pairsOf(radios[0], room(reference), true))).same).toEqual([0, 1, 0, 3])
  })
})

describe('of a recording that has a passage in common with another', () => {
  it.each([
    ['a short end', part(recording, 8.3)],
    ['a piece between others', concatenateWaveforms([performance(2), part(recording, 4, 8.5), performance(3)])],
    ['most of it', concatenateWaveforms([part(recording, 0, 9), performance(2)])],
  ])('%s is related, but not the same', async (_, other) => {
    expect(await duplicatesOf([...others, recording, other])).toEqual({
      same: [0, 1, 2, 3, 4, 5, 6, 7],
      related: [0, 1, 2, 3, 4, 5, 6, 6],
    })
  })

  test('relations go through other recordings', async () => {
    const [a, b] = [performance(2, { seconds: 4 }), performance(3, { seconds: 4 })]
    expect(await relatedTo(a, b, concatenateWaveforms([a, b]))).toEqual([0, 0, 0])
  })
})

describe('a fingerprint', () => {
  test('is the same however the recording is divided into blocks', () => {
    const [channel] = performance(1, { sampleRate: 44_100 }).channels as [Float32Array]
    const fingerprinter = createFingerprinter(10)
    for (let at = 0; at < channel.length; at += 5000)
      fingerprinter.add(channel.subarray(at, at + 5000), { sampleRate: 44_100, channelCount: 1 })
    expect(fingerprinter.read()).toEqual(fingerprintOf({ sampleRate: 44_100, channels: [channel] }))
  })

  test('covers as much of the beginning as asked for', () => {
    expect(fingerprintOf(recording, 5).frames).toBe(250)
    expect(fingerprintOf(recording).frames).toBe(594)
    expect(fingerprintOf(part(recording, 0, 0.1)).frames).toBe(0)
  })
})

test('a search lets other work go on, and stops with the error of its listener', async () => {
  const { levels, frames } = fingerprintOf(others[0] as Waveform)
  const recordings = Array.from({ length: 300 }, (_, i) => {
    const changed = levels.slice().fill(i % 250, 0, 16) // so that they are not equal
    return { fingerprint: { levels: changed, frames }, kind: 'reference' }
  })
  let isStopped = false
  const stop = setTimeout(1).then(() => {
    isStopped = true
  })
  const search = findDuplicates(recordings, () => {
    if (isStopped) throw new Error('stopped')
  })
  await expect(search).rejects.toThrow('stopped')
  await stop
})
