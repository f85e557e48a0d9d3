import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createSoundStore, type SoundStore } from '../../src/audio/sound-store.ts'
import { interleave, peak, type Waveform } from '../../src/audio/waveform.ts'
import { clipNames, type FittedPair, openClipStore } from '../../src/dataset/clips.ts'
import { type Dataset, inspectSource } from '../../src/dataset/dataset.ts'
import { clipsWithin, type DatasetOptions } from '../../src/dataset/fit-plan.ts'
import { openSource } from '../../src/dataset/source.ts'
import { createWindowCutter, drawClip } from '../../src/dataset/windows.ts'
import { randomFor } from '../../src/platform/random.ts'
import { writeWav } from '../audio/signals.ts'

const root = mkdtempSync(join(tmpdir(), 'ltx-a2a-windows-'))
afterAll(() => rmSync(root, { recursive: true }))

/** Every sample has a value of its own. */
const ramp = (samples: number, sampleRate: number): Waveform => ({
  sampleRate,
  channels: [1, -1].map((sign) => Float32Array.from({ length: samples }, (_, i) => (sign * (i + 1)) / 100_000)),
})

describe('a recording in windows', () => {
  it.each([
    [8000, 0.5, 1000],
    [11_025, 0.3, 777],
    [44_100, 0.1, 60_000],
  ])('at %i Hz, of %f s each, whatever the blocks of the decoder', (sampleRate, seconds, blockFrames) => {
    const whole = ramp(Math.round(1.25 * sampleRate), sampleRate)
    const windows: Waveform[] = []
    const add = createWindowCutter(seconds, (window, index) => {
      expect(index).toBe(windows.length)
      windows.push(window)
    })
    const samples = interleave(whole)
    for (let at = 0; at < samples.length; at += 2 * blockFrames)
      add(samples.subarray(at, at + 2 * blockFrames), { sampleRate, channelCount: 2 })
    const length = Math.floor(seconds * sampleRate)
    expect(windows).toEqual(
      Array.from({ length: Math.floor(1.25 / seconds) }, (_, i) => {
        const start = Math.floor(i * seconds * sampleRate)
        return { sampleRate, channels: whole.channels.map((channel) => channel.slice(start, start + length)) }
      }),
    )
  })
})

describe('the clips of a pair', () => {
  const options = { seconds: 5, preservePitch: true }

  it('are as many as fit into both sides', () => {
    const count = (reference: number, target: number) => clipsWithin({ reference, target }, options)
    expect([count(4.9, 20), count(5, 5), count(14.9, 60), count(15, 15)]).toEqual([0, 1, 2, 3])
  })

  it('are one where it is stretched', () => {
    expect(clipsWithin({ reference: 5.4, target: 5.3 }, options)).toBe(1)
  })

  it('have names of their own', () => {
    expect(clipNames('drums', 1)).toEqual(['drums'])
    expect(clipNames('drums', 2)).toEqual(['drums (1 of 2)', 'drums (2 of 2)'])
  })
})

describe('a dataset with --windows all', () => {
  const rate = 16_000
  const options: DatasetOptions = {
    triggerPhrase: 'ping',
    seconds: 0.5,
    preservePitch: true,
    normalize: true,
    windows: 'all',
  }

  /** One second of sound for each letter: `x` is a tone, `.` is silence. */
  const sound = (pattern: string, hertz: number): Waveform => ({
    sampleRate: rate,
    channels: [
      Float32Array.from({ length: (pattern.length * rate) / 2 }, (_, i) =>
        pattern[Math.floor((2 * i) / rate)] === 'x'
          ? (0.1 + i / rate / 20) * Math.sin((hertz * 2 * Math.PI * i) / rate)
          : 0,
      ),
    ],
  })

  function folderWith(pairs: Record<string, [start: string, end: string]>) {
    const folder = mkdtempSync(join(root, 'data-'))
    for (const [name, [start, end]] of Object.entries(pairs)) {
      writeWav(join(folder, `${name}_start.wav`), sound(start, 440))
      writeWav(join(folder, `${name}_end.wav`), sound(end, 660))
    }
    return folder
  }

  /** The dataset, and its clips by name. */
  async function inspected(folder: string, changed: Partial<DatasetOptions> = {}) {
    const source = await openSource(folder)
    const clips = await openClipStore()
    const dataset = await inspectSource(source, { ...options, ...changed }, { clips, analyzeSound: true })
    const fitted = new Map<string, FittedPair>()
    for (const { name, clips: counts } of dataset.pairs)
      for (const clip of clipNames(name, counts.used)) fitted.set(clip, clips.get(clip))
    await clips.close()
    return { dataset, fitted }
  }

  const countsOf = ({ counts: { pairs, used, clips, allClips } }: Dataset) => ({ pairs, used, clips, allClips })

  it('uses all of its pairs, in clips like those of pairs that were cut by hand', async () => {
    const { dataset, fitted } = await inspected(folderWith({ long: ['xxx', 'xxx'], short: ['x', 'x'] }))
    expect(countsOf(dataset)).toEqual({ pairs: 2, used: 2, clips: 4, allClips: 4 })
    expect([...fitted.keys()]).toEqual(['long (1 of 3)', 'long (2 of 3)', 'long (3 of 3)', 'short'])

    const byHand = mkdtempSync(join(root, 'cut-'))
    for (const [side, hertz] of [
      ['start', 440],
      ['end', 660],
    ] as const)
      for (const part of [0, 1, 2]) {
        const [channel] = sound('xxx', hertz).channels as [Float32Array]
        const piece = channel.slice((part * rate) / 2, ((part + 1) * rate) / 2)
        writeWav(join(byHand, `part${part}_${side}.wav`), { sampleRate: rate, channels: [piece] })
      }
    const cut = await inspected(byHand)
    for (const part of [0, 1, 2]) {
      const { caption, reference, target } = fitted.get(`long (${part + 1} of 3)`) as FittedPair
      expect({ caption, reference, target }).toEqual({
        caption: 'ping',
        reference: cut.fitted.get(`part${part}`)?.reference,
        target: cut.fitted.get(`part${part}`)?.target,
      })
    }
  })

  it('leaves out clips in which a side is silent', async () => {
    const { dataset, fitted } = await inspected(folderWith({ gaps: ['xx.x', 'x.xx'], quiet: ['x.', '.x'] }))
    expect(countsOf(dataset)).toEqual({ pairs: 2, used: 1, clips: 2, allClips: 2 })
    expect([...fitted.keys()]).toEqual(['gaps (1 of 2)', 'gaps (2 of 2)'])
    expect(fitted.get('gaps (2 of 2)')?.target.channels[0]?.some((sample) => Math.abs(sample) > 0.5)).toBe(true)
    expect(dataset.pairs[0]?.clips).toEqual({ used: 2, all: 2, silent: 2 })
    expect(dataset.pairs[1]?.plan).toEqual({ use: false, reason: 'in every clip, one side is silent' })
  })

  it('leaves out pauses, whose noise would become as loud as the rest', async () => {
    const folder = folderWith({ pause: ['xxx', 'xxx'] })
    for (const [level, used] of [
      [0.001, 2],
      [0.01, 3],
    ] as const) {
      const paused = sound('xxx', 440)
      const middle = paused.channels[0]?.subarray(rate / 2, rate) as Float32Array
      middle.forEach((sample, i) => {
        middle[i] = level * sample
      })
      writeWav(join(folder, 'pause_start.wav'), paused)
      expect((await inspected(folder)).dataset.pairs[0]?.clips.used).toBe(used)
    }
  })

  it('has no two clips of one name', async () => {
    const folder = folderWith({ x: ['xxx', 'xxx'], 'x (1 of 3)': ['x', 'x'] })
    const message = 'a pair and a clip of another pair are both called x (1 of 3)'
    await expect(inspected(folder)).rejects.toThrow(message)
    const errorsWith = async (windows: DatasetOptions['windows']) =>
      (await inspectSource(await openSource(folder), { ...options, windows })).problems.filter(
        ({ severity }) => severity === 'error',
      )
    expect(await errorsWith('all')).toMatchObject([{ message, hint: 'rename the pair' }])
    expect(await errorsWith('first')).toEqual([])
  })

  describe('a pair that is longer than one clip, but not than two', () => {
    const almostTwo = (pattern: string) => {
      const { channels } = sound(pattern, 440)
      return { sampleRate: rate, channels: channels.map((channel) => channel.slice(0, 0.95 * rate)) }
    }
    const folder = folderWith({})
    for (const side of ['start', 'end']) {
      writeWav(join(folder, `tone_${side}.wav`), almostTwo('xx'))
      writeWav(join(folder, `late_${side}.wav`), almostTwo('.x'))
    }

    it('is left out where its only clip is silent', async () => {
      const { dataset, fitted } = await inspected(folder)
      expect(dataset.pairs.map(({ name, plan }) => [name, plan.use])).toEqual([
        ['late', false],
        ['tone', true],
      ])
      expect(fitted.get('tone')).toEqual((await inspected(folder, { windows: 'first' })).fitted.get('tone'))
    })

    it('gives clips from random places with --windows random', async () => {
      const clips = await openClipStore()
      await inspectSource(await openSource(folder), { ...options, windows: 'random' }, { clips })
      expect(clips.recording('tone')?.reference.sound.samples()).toBe(0.95 * rate)
      expect(clips.recording('late')).toBeUndefined()
      await clips.close()
    })
  })

  it('counts the bytes in the temporary folder', async () => {
    const bytes = async (windows: DatasetOptions['windows']) => {
      const clips = await openClipStore()
      const folder = folderWith({ long: ['xxx', 'xxx'], short: ['x', 'x'] })
      await inspectSource(await openSource(folder), { ...options, windows }, { clips })
      await clips.close()
      return clips.bytes()
    }
    const clip = 2 * 0.5 * rate * 4 // stereo, float32
    expect(await bytes('first')).toBe(2 * 2 * clip)
    expect(await bytes('all')).toBe(2 * 4 * clip + 2 * clip) // and the only window of a pair that is one clip
    expect(await bytes('random')).toBe(2 * (4 + 3) * clip + 2 * clip)
  })

  it('leaves out what is silent at the rate of the clips', async () => {
    const folder = mkdtempSync(join(root, 'high-'))
    const start = Float32Array.from({ length: 72_000 }, (_, i) => {
      const [hertz, level] = i >= 24_000 && i < 48_000 ? [15_000, 0.002] : [440, 0.5]
      return level * Math.sin((2 * Math.PI * hertz * i) / 48_000)
    })
    writeWav(join(folder, 'high_start.wav'), { sampleRate: 48_000, channels: [start] }, 'float32')
    writeWav(join(folder, 'high_end.wav'), sound('xxx', 660))
    expect((await inspected(folder)).dataset.pairs[0]?.clips).toEqual({ used: 2, all: 2, silent: 1 })
  })

  it('is refused where no clip has sound on both sides', async () => {
    const { dataset } = await inspected(folderWith({ quiet: ['x.', '.x'] }))
    expect(dataset.problems.map(({ severity, message }) => `${severity}: ${message}`)).toContain(
      'error: no pair has 0.5 s with sound on both sides',
    )
  })

  it('is announced where only the beginning is used', async () => {
    const { dataset, fitted } = await inspected(folderWith({ long: ['xxx', 'xxx'], short: ['x', 'x'] }), {
      windows: 'first',
    })
    expect(countsOf(dataset)).toEqual({ pairs: 2, used: 2, clips: 2, allClips: 4 })
    expect([...fitted.keys()]).toEqual(['long', 'short'])
    const hints = dataset.advice?.findings.flatMap(({ kind, hint }) => (kind === 'mostly-unused' ? [hint] : []))
    expect(hints).toEqual(['--windows all uses all of them: 4 clips instead of 2'])
  })
})

describe('a clip from a random place', () => {
  const rate = 16_000
  const folder = mkdtempSync(join(root, 'random-'))
  let stores = 0

  /** Sound where the text has an `x`, silence elsewhere; half a second for each letter. */
  function storeOf(pattern: string, level = 1): SoundStore {
    const store = createSoundStore(join(folder, `${++stores}`), () => rate)
    const samples = Float32Array.from({ length: (pattern.length * rate) / 2 }, (_, i) =>
      pattern[Math.floor((2 * i) / rate)] === 'x' ? (level * (i + 1)) / 100_000 : 0,
    )
    for (let at = 0; at < samples.length; at += 5000)
      store.append({ sampleRate: rate, channels: [samples.slice(at, at + 5000), samples.slice(at, at + 5000)] })
    store.complete()
    return store
  }
  const options = { seconds: 0.5, normalize: false }
  const side = (sound: SoundStore) => ({ sound, silence: 1e-4 })
  const draws = (reference: SoundStore, target: SoundStore) =>
    Array.from({ length: 200 }, (_, i) =>
      drawClip({ reference: side(reference), target: side(target) }, randomFor(1, 'draw', i), options),
    )

  it('begins at the same time on both sides, anywhere that a clip fits', () => {
    const drawn = draws(storeOf('xxx'), storeOf('xxxx', 0.5))
    const starts = drawn.map((clip) => {
      const { reference, target } = clip as NonNullable<typeof clip>
      expect([reference.channels[0]?.length, target.channels[0]?.length]).toEqual([rate / 2, rate / 2])
      expect(target.channels[1]?.[7]).toBeCloseTo(0.5 * (reference.channels[1]?.[7] as number), 6)
      return Math.round((reference.channels[0]?.[0] as number) * 100_000) - 1
    })
    expect(Math.min(...starts)).toBeGreaterThanOrEqual(0)
    expect(Math.min(...starts)).toBeLessThan(800)
    expect(Math.max(...starts)).toBeLessThanOrEqual(rate)
    expect(Math.max(...starts)).toBeGreaterThan(rate - 800)
  })

  it('has sound on both sides', () => {
    for (const clip of draws(storeOf('x..xx'), storeOf('xxx.x'))) {
      expect(peak(clip?.reference as Waveform)).toBeGreaterThan(0)
      expect(peak(clip?.target as Waveform)).toBeGreaterThan(0)
    }
    expect(draws(storeOf('x....'), storeOf('....x')).every((clip) => clip === undefined)).toBe(true)
  })

  it('is the same for the same random numbers', () => {
    const [reference, target] = [storeOf('xxxx'), storeOf('xxxx')]
    const starts = () => draws(reference, target).map((clip) => clip?.reference.channels[0]?.[0])
    expect(starts()).toEqual(starts())
    expect(new Set(starts()).size).toBeGreaterThan(150)
  })
})
