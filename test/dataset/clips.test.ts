import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { decodeAudio } from '../../src/audio/decode.ts'
import { resample } from '../../src/audio/resample.ts'
import { stretchTo } from '../../src/audio/stretch.ts'
import { firstSamples, peak, sampleCount, toDbfs, toStereo, type Waveform } from '../../src/audio/waveform.ts'
import { createDebugDataset, type FittedPair, fitReference, openClipStore } from '../../src/dataset/clips.ts'
import { inspectSource } from '../../src/dataset/dataset.ts'
import type { DatasetOptions } from '../../src/dataset/fit-plan.ts'
import { openSource } from '../../src/dataset/source.ts'
import { convert, risesPerSecond, tone, writeWav } from '../audio/signals.ts'

const root = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(root, { recursive: true }))

/** Fits the only pair of a folder. */
async function fit(folder: string, changed: Partial<DatasetOptions> = {}): Promise<FittedPair> {
  const options = {
    triggerPhrase: 'ping',
    seconds: 1,
    preservePitch: true,
    normalize: false,
    windows: 'first' as const,
    ...changed,
  }
  const source = await openSource(folder)
  const clips = await openClipStore()
  try {
    const { pairs } = await inspectSource(source, options, { clips })
    return clips.get(pairs[0]?.name as string)
  } finally {
    await clips.close()
    await source.close()
  }
}

const newFolder = () => mkdtempSync(join(root, 'pair-'))

async function fitWaveforms(
  start: Waveform,
  end: Waveform,
  changed: Partial<DatasetOptions> = {},
): Promise<FittedPair> {
  const folder = newFolder()
  writeWav(join(folder, 'a_start.wav'), start, 'float32')
  writeWav(join(folder, 'a_end.wav'), end, 'float32')
  return fit(folder, changed)
}

const lengths = ({ reference, target }: FittedPair) =>
  [reference, target].flatMap(({ channels }) => channels.map(({ length }) => length))

describe('a fitted pair', () => {
  test('is trimmed at its own sample rate, then resampled to 16 kHz', async () => {
    const [start, end] = [tone(2, { sampleRate: 48_000 }), tone(3, { sampleRate: 44_100 })]
    const { reference, target } = await fitWaveforms(start, end)
    expect(reference).toEqual(resample(firstSamples(start, 48_000), 16_000))
    expect(target).toEqual(resample(firstSamples(end, 44_100), 16_000))
  })

  test('is unchanged when the files already have 16 kHz and the length of the bucket', async () => {
    const waveform = tone(1, { sampleRate: 16_000 })
    expect(await fitWaveforms(waveform, waveform)).toEqual({
      name: 'a',
      caption: 'ping',
      reference: waveform,
      target: waveform,
    })
  })

  test.each([
    [8000, 0.7],
    [11_025, 0.7],
    [22_050, 0.57],
    [44_100, 1.01],
    [48_000, 1.00003],
    [192_000, 0.5],
  ])('from %i Hz has exactly %f s on both sides', async (sampleRate, seconds) => {
    const pair = await fitWaveforms(tone(1.7, { sampleRate }), tone(seconds + 0.03, { sampleRate }), { seconds })
    expect(lengths(pair)).toEqual(new Array(4).fill(Math.floor(seconds * 16_000)))
  })

  test('is stretched when pitch preservation is on, else trimmed', async () => {
    const [start, end] = [tone(1.08, { hertz: 1000 }), tone(1.03, { hertz: 500 })]
    const stretched = await fitWaveforms(start, end)
    expect(lengths(stretched)).toEqual([16_000, 16_000, 16_000, 16_000])
    const inner = (side: Waveform) => risesPerSecond(side.channels[0]?.subarray(800, -800) as Float32Array, 16_000)
    expect(inner(stretched.reference) / 1000).toBeCloseTo(1, 1)
    expect(inner(stretched.target) / 500).toBeCloseTo(1, 1)
    const trimmed = await fitWaveforms(start, end, { preservePitch: false })
    expect(trimmed.reference).toEqual(resample(firstSamples(start, 44_100), 16_000))
  })

  test('is stretched as a whole, including the end of the recording', async () => {
    const end = tone(1.08, { level: 0 })
    for (const channel of end.channels) channel.set(tone(0.08, { channels: 1 }).channels[0] as Float32Array, 44_100)
    const { target } = await fitWaveforms(tone(1.08), end)
    expect(peak({ ...target, channels: target.channels.map((channel) => channel.subarray(15_000)) })).toBeGreaterThan(
      0.3,
    )
  })

  test('is stretched completely at the maximum stretch factor', async () => {
    const long = tone(1.243, { sampleRate: 48_000 }) // 1.1 · 1.13 s, which in floating point is a little less
    const { reference } = await fitWaveforms(long, long, { seconds: 1.13 })
    const stretched = resample(await stretchTo(long, Math.floor(1.13 * 48_000)), 16_000)
    expect(reference).toEqual(firstSamples(stretched, Math.floor(1.13 * 16_000)))
  })

  test('has a peak of −1 dBFS on each side when normalized, except for silence', async () => {
    const { reference, target } = await fitWaveforms(tone(2, { level: 0.01 }), tone(2, { level: 0 }), {
      normalize: true,
    })
    expect(toDbfs(peak(reference))).toBeCloseTo(-1, 4)
    expect(peak(target)).toBe(0)
  })

  test('is converted to stereo from mono and 5.1', async () => {
    const { reference, target } = await fitWaveforms(tone(1, { channels: 1 }), tone(1, { channels: 6 }))
    expect(reference.channels).toHaveLength(2)
    expect(reference.channels[0]).toEqual(reference.channels[1])
    expect(target.channels).toHaveLength(2)
    expect(target.channels[0]).not.toEqual(target.channels[1])
  })

  test('can combine two file formats and a caption', async () => {
    const folder = newFolder()
    const wav = writeWav(join(root, 'source.wav'), tone(1.5))
    await convert(wav, join(folder, 'a_start.ogg'))
    await convert(wav, join(folder, 'a_end.flac'))
    writeFileSync(join(folder, 'a.txt'), 'a tone')
    const pair = await fit(folder)
    expect(pair.caption).toBe('ping a tone')
    expect(lengths(pair)).toEqual([16_000, 16_000, 16_000, 16_000])
    const difference = pair.reference.channels[0]?.map((sample, i) => sample - (pair.target.channels[0]?.[i] as number))
    expect(Math.max(...(difference ?? []))).toBeLessThan(0.1)
  })

  test('does not exist for a skipped pair', async () => {
    await expect(fitWaveforms(tone(1), tone(0.5))).rejects.toThrow('the pair a was not fitted')
  })
})

test.runIf(existsSync('/dev/full'))('a full disk is reported with a hint', async () => {
  const before = process.env.TMPDIR
  process.env.TMPDIR = newFolder()
  const store = await openClipStore()
  try {
    const [folder = ''] = readdirSync(process.env.TMPDIR)
    symlinkSync('/dev/full', join(process.env.TMPDIR, folder, '1.f32'))
    const clip = tone(1, { sampleRate: 16_000 })
    expect(() => store.put({ name: 'a', caption: '', reference: clip, target: clip })).toThrow(
      expect.objectContaining({ name: 'UserError', hint: 'free some space or set TMPDIR' }),
    )
  } finally {
    await store.close()
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
})

describe('a reference clip', () => {
  const file = (name: string, waveform: Waveform) => writeWav(join(root, name), waveform, 'float32')

  test('is cut to the duration, stereo, at 16 kHz and not normalized', async () => {
    const waveform = tone(3, { channels: 1, level: 0.1 })
    const clip = await fitReference(file('long.wav', waveform), 2)
    const [expected] = resample(firstSamples(waveform, 88_200), 16_000).channels
    expect(clip).toEqual({ sampleRate: 16_000, channels: [expected, expected] })
  })

  test.each(['mp3', 'm4a', 'ogg', 'flac'])(
    'from %s equals the start of the fully decoded recording',
    async (extension) => {
      const path = join(root, `whole.${extension}`)
      await convert(file(`whole-${extension}.wav`, tone(3)), path)
      const whole = await decodeAudio(path)
      const expected = resample(firstSamples(toStereo(whole), Math.floor(1.2345 * whole.sampleRate)), 16_000)
      expect(await fitReference(path, 1.2345)).toEqual(firstSamples(expected, Math.floor(1.2345 * 16_000)))
    },
  )

  test('is not extended when the recording is shorter', async () => {
    expect(sampleCount(await fitReference(file('short.wav', tone(0.25)), 2))).toBe(4000)
  })

  test('is normalized on request', async () => {
    const clip = await fitReference(file('quiet.wav', tone(0.5, { level: 0.01 })), 2, { normalize: true })
    expect(toDbfs(peak(clip))).toBeCloseTo(-1, 4)
  })

  test('with a sample that is not a number is refused', async () => {
    const broken = tone(0.5)
    broken.channels[0]?.fill(Number.NaN, 11_025, 11_026)
    await expect(fitReference(file('nan.wav', broken), 2)).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/nan\.wav has a sample that is not a number at 0\.250 s$/),
    })
  })

  test('of 50 ms is refused', async () => {
    await expect(fitReference(file('blip.wav', tone(0.05)), 2)).rejects.toThrow('blip.wav has only 0.050 s')
  })
})

test('a debug dataset can be read, whatever the names of its pairs', async () => {
  const path = join(root, 'debug.zip')
  const clip: Waveform = { sampleRate: 16_000, channels: [new Float32Array(1600), new Float32Array(1600)] }
  const names = ['a: intro', 'C:x', 'a\\b', 'c\\b', 'a\uFF3Cb', 'e_start_end', "j*? 'k'", 'ünï 🥁', '\uFFFD83']
  const debug = createDebugDataset(path, {})
  for (const name of names) debug.add({ name, caption: `about ${name}`, reference: clip, target: clip })
  await debug.finish()
  const source = await openSource(path)
  const { pairs, problems } = await inspectSource(source, {
    triggerPhrase: '',
    seconds: 0.1,
    preservePitch: true,
    windows: 'first',
    normalize: false,
  })
  expect(pairs.map(({ caption }) => caption).sort()).toEqual(names.map((name) => `about ${name}`).sort())
  expect(pairs.map(({ name }) => name)).toEqual(expect.arrayContaining(['a: intro', 'C:x', 'a\uFF3Cb', 'c\uFF3Cb']))
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
  await source.close()
})
