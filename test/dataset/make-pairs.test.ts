/** Pairs from clean recordings: length, sync, strengths, and what goes wrong. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { bestPeak, crossCorrelation } from '../../src/audio/analysis/correlation.ts'
import { decodeAudio } from '../../src/audio/decode.ts'
import { peak, sampleCount, type Waveform } from '../../src/audio/waveform.ts'
import { type Limits, parseLimits } from '../../src/config/limits.ts'
import { effectPresets } from '../../src/config/parameters.ts'
import type { MakePairsSettings } from '../../src/config/settings.ts'
import { inspectDataset } from '../../src/dataset/dataset.ts'
import { type MadePairs, madePairsMarker, makePairs } from '../../src/dataset/make-pairs.ts'
import { openSource } from '../../src/dataset/source.ts'
import { openOutputFile } from '../../src/platform/output-file.ts'
import type { ProgressEvent, RunOptions } from '../../src/platform/progress.ts'
import { louder, noise, performance } from '../audio/analysis/sounds.ts'
import { convert, writeWav } from '../audio/signals.ts'

const root = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(root, { recursive: true }))

const sampleRate = 44_100
const demoPairs = fileURLToPath(new URL('../../fixtures/demo/pairs.zip', import.meta.url))
const voice = performance(1, { seconds: 2, sampleRate })
const folder = join(root, 'clean')
mkdirSync(folder)
writeWav(join(folder, 'mono.wav'), voice)
writeFileSync(join(folder, 'mono.txt'), 'a voice')
const stereo: Waveform = { sampleRate, channels: [...voice.channels, ...louder(voice, 0.5).channels] }
writeWav(join(folder, 'stereo.wav'), louder(stereo, 2 / peak(stereo)), 'float32')

let outputs = 0

type Options = RunOptions<ProgressEvent> & { limits?: Limits }

async function make(settings: Partial<MakePairsSettings>, options?: Options): Promise<MadePairs & { zip: string }> {
  const zip = join(root, `${++outputs}.zip`)
  const file = openOutputFile(zip, { inputs: [], marker: madePairsMarker })
  const defaults: MakePairsSettings = {
    clean: [folder],
    effect: 'noise',
    direction: 'restore',
    snr: { from: 5, to: 30 },
    seed: 42,
  }
  return { ...(await makePairs({ ...defaults, ...settings }, file, options)), zip }
}

async function read<T>(zip: string, path: string, use: (file: string) => Promise<T>): Promise<T> {
  const source = await openSource(zip)
  try {
    return await source.withFile(path, use)
  } finally {
    await source.close()
  }
}

const audio = (zip: string, path: string) => read(zip, path, (file) => decodeAudio(file))
const text = (zip: string, path: string) => read(zip, path, async (file) => readFileSync(file, 'utf8'))

const lag = (a: Waveform, b: Waveform) =>
  Math.abs(
    Math.round(
      bestPeak(
        crossCorrelation(a.channels[0] as Float32Array, b.channels[0] as Float32Array, {
          maxLag: 3000,
          whitening: 0.7,
        }),
        1,
      ).lag,
    ),
  )

describe.each(effectPresets)('%s', (effect) => {
  test('both sides have one length, are in sync to the sample, and are not clipped', async () => {
    const { zip, pairs } = await make({ effect })
    expect(pairs.map(({ name }) => name)).toEqual(['mono', 'stereo'])
    for (const name of ['mono', 'stereo']) {
      const [start, end] = [await audio(zip, `${name}_start.wav`), await audio(zip, `${name}_end.wav`)]
      expect(sampleCount(start)).toBe(2 * sampleRate)
      expect(sampleCount(end)).toBe(2 * sampleRate)
      expect(end.channels.length).toBe(name === 'mono' ? 1 : 2)
      expect(start.sampleRate).toBe(sampleRate)
      expect(lag(end, start)).toBe(0)
      expect(Math.max(peak(start), peak(end))).toBeLessThanOrEqual(1)
      expect(start.channels[0]).not.toEqual(end.channels[0])
    }
    const { problems, advice } = await inspectDataset({ data: zip, audioDurationSeconds: 2 })
    expect(problems.filter(({ severity, message }) => severity !== 'hint' || /not used/.test(message))).toEqual([])
    expect(advice?.findings.map(({ kind }) => kind)).not.toContain('out-of-sync')
  })
})

test('the clean side is the recording itself, lowered with the other where one is above full scale', async () => {
  const { zip, pairs } = await make({ effect: 'clipping' })
  expect(await audio(zip, 'mono_end.wav')).toEqual(await decodeAudio(join(folder, 'mono.wav')))
  const { gainDb } = pairs[1] as MadePairs['pairs'][0]
  expect(gainDb).toBeLessThan(0)
  expect(peak(await audio(zip, 'stereo_end.wav'))).toBeCloseTo(10 ** (-1 / 20), 5)
})

test('the effect is on the side that --direction says', async () => {
  const [restore, apply] = [await make({ direction: 'restore' }), await make({ direction: 'apply' })]
  expect(await audio(restore.zip, 'mono_end.wav')).toEqual(await decodeAudio(join(folder, 'mono.wav')))
  expect(await audio(apply.zip, 'mono_start.wav')).toEqual(await audio(restore.zip, 'mono_end.wav'))
  expect(await audio(apply.zip, 'mono_end.wav')).toEqual(await audio(restore.zip, 'mono_start.wav'))
})

test('the same seed gives the same bytes, another one other strengths, which the zip contains', async () => {
  const [first, again, other] = [
    await make({ effect: 'vinyl' }),
    await make({ effect: 'vinyl' }),
    await make({ effect: 'vinyl', seed: 1 }),
  ]
  expect(readFileSync(again.zip).equals(readFileSync(first.zip))).toBe(true)
  expect(other.pairs[0]?.strengths).not.toEqual(first.pairs[0]?.strengths)
  expect(first.pairs[1]?.strengths).not.toEqual(first.pairs[0]?.strengths)
  const { problems: _, zip: __, ...made } = first
  expect(JSON.parse(await text(first.zip, 'make-pairs.json'))).toEqual({ madeBy: madePairsMarker, ...made })
  expect(await text(first.zip, 'mono.txt')).toBe('a voice')
})

test('noise has a ratio in the range that was asked for', async () => {
  const { zip, pairs } = await make({ snr: { from: 10, to: 12 } })
  const { snrDb } = (pairs[0] as MadePairs['pairs'][0]).strengths as { snrDb: number }
  expect(snrDb).toBeGreaterThanOrEqual(10)
  expect(snrDb).toBeLessThanOrEqual(12)
  const [start, end] = [await audio(zip, 'mono_start.wav'), await audio(zip, 'mono_end.wav')]
  const power = (values: Float32Array) => values.reduce((sum, x) => sum + x * x, 0)
  const clean = end.channels[0] as Float32Array
  const added = (start.channels[0] as Float32Array).map((x, i) => x - (clean[i] as number))
  expect(Math.abs(10 * Math.log10(power(clean) / power(added)) - snrDb)).toBeLessThan(1.5)
})

describe.each(['vinyl', 'mp3'] as const)('%s on the demo recordings', (effect) => {
  test.each([1, 2, 3])('is audible at the 16 kHz of the model, and keeps the level, with seed %i', async (seed) => {
    const demo = await openSource(demoPairs)
    const clean = join(root, `demo-${effect}-${seed}`)
    mkdirSync(clean)
    try {
      for (const name of ['voice-2_start.m4a', 'guitar_start.aac', 'marimba_start.flac', 'drums-1_start.ogg'])
        await demo.withFile(name, async (file) => copyFileSync(file, join(clean, name.replace('_start', ''))))
    } finally {
      await demo.close()
    }
    const { zip } = await make({ clean: [clean], effect, seed })
    const { pairs, advice } = await inspectDataset({ data: zip, audioDurationSeconds: 2 })
    expect(advice?.findings.filter(({ kind }) => ['unchanged', 'unrelated', 'out-of-sync'].includes(kind))).toEqual([])
    expect(Math.min(...pairs.map(({ sound }) => sound?.distance ?? 0))).toBeGreaterThan(1)
    for (const { name } of pairs) {
      const [start, end] = [await audio(zip, `${name}_start.wav`), await audio(zip, `${name}_end.wav`)]
      expect(Math.abs(20 * Math.log10(rms(start) / rms(end)))).toBeLessThan(0.01)
    }
  })
})

const rms = ({ channels }: Waveform) =>
  Math.sqrt(channels.flatMap((channel) => [...channel]).reduce((sum, x) => sum + x * x, 0))

test('no frequency of an effect is above what the recording has', async () => {
  const low = join(root, 'low')
  mkdirSync(low)
  writeWav(join(low, 'a.wav'), performance(3, { seconds: 1, sampleRate: 8000 }))
  for (const effect of ['radio', 'vinyl'] as const) {
    const { pairs } = await make({ clean: [low], effect, seed: 5 })
    expect(pairs[0]?.strengths.highHz).toBeLessThanOrEqual(4000)
  }
})

describe('a filter graph of ffmpeg', () => {
  const withoutTail = 'asplit[a][b];[b]aecho=1:1:100:0.5[wet];[a]volume=0[off];[off][wet]amix=duration=first,volume=2'

  test.each(['volume=0.5,highpass=f=300', withoutTail])('is applied: %s', async (effect) => {
    const { zip } = await make({ effect })
    expect(sampleCount(await audio(zip, 'mono_start.wav'))).toBe(2 * sampleRate)
    expect(peak(await audio(zip, 'mono_start.wav'))).toBeGreaterThan(0.01)
  })

  test.each([
    ['telefone', "ffmpeg cannot apply the effect telefone to mono.wav: No such filter: 'telefone'"],
    ['atempo=2', 'the effect atempo=2 makes 1.00 s of the 2.00 s of mono.wav'],
    ['atempo=0.5', 'the effect atempo=0.5 makes 3.00 s or more of the 2.00 s of mono.wav'],
    ['aecho=1:1:100:0.5', 'the effect aecho=1:1:100:0.5 makes 2.10 s of the 2.00 s of mono.wav'],
    ['apad', 'the effect apad makes 3.00 s or more of the 2.00 s of mono.wav'], // it is endless
    ['atrim=start=9', 'the effect atrim=start=9 makes 0.00 s of the 2.00 s of mono.wav'],
    ['aeval=0/0', 'mono.wav with the effect aeval=0/0 has a sample that is not a number'],
    ['showwaves,nullsink', 'the effect showwaves,nullsink has the filter showwaves, which is one for pictures'],
    ['volume=0', 'the effect volume=0 leaves nothing of mono.wav'],
    ['adelay=50|50', 'the effect adelay=50|50 makes 2.05 s of the 2.00 s of mono.wav'],
    ['adelay=50|50,atrim=end=2', 'the effect adelay=50|50,atrim=end=2 moves the sound of mono.wav by +50 ms'],
    ['amix=inputs=2', 'had >1 input'],
  ])('%s is refused in one sentence, and nothing is written', async (effect, message) => {
    await expect(make({ effect })).rejects.toThrow(message)
    expect(() => readFileSync(join(root, `${outputs}.zip`))).toThrow('ENOENT')
  })
})

test('recordings that cannot be used are reported, and the others go on', async () => {
  const mixed = join(root, 'mixed')
  mkdirSync(mixed)
  const wav = writeWav(join(root, 'a.wav'), noise(1, { seconds: 1 }))
  await convert(wav, join(mixed, 'a.mp3'))
  writeWav(join(mixed, 'b.wav'), louder(voice, 0))
  writeFileSync(join(mixed, 'c.flac'), 'no audio at all')
  const { pairs, problems } = await make({ clean: [mixed, wav, join(root, 'gone.wav')] })
  expect(pairs.map(({ name }) => name)).toEqual(['a', 'a-2'])
  expect(problems.map(({ message }) => message)).toEqual([
    'b.wav is silent',
    'c.flac cannot be read as .flac audio',
    `${join(root, 'gone.wav')} cannot be opened`,
  ])
  await expect(make({ clean: [join(root, 'gone.wav')] })).rejects.toThrow('no recording can be used')
})

/** A filter graph that never gives any sound. */
const endless = 'apad,atrim=start=1000000'

test('a filter graph that takes too long is refused', async () => {
  const limits = parseLimits(['decoding-seconds=3'])
  await expect(make({ effect: endless }, { limits })).rejects.toMatchObject({
    name: 'UserError',
    message: `ffmpeg takes more than 3 s to apply the effect ${endless} to mono.wav`,
    hint: expect.stringContaining('--limit decoding-seconds=6'),
  })
})

test('an interruption does not wait for the end of a recording, and nothing is written', async () => {
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 500)
  const options = { signal: controller.signal }
  await expect(make({ effect: endless }, options)).rejects.toMatchObject({ name: 'Interrupted' })
  expect(existsSync(join(root, `${outputs}.zip`))).toBe(false)
})

test('an interruption after the last recording writes nothing', async () => {
  const controller = new AbortController()
  const onEvent = (event: ProgressEvent) => {
    if (event.type === 'stage' && event.status === 'finished') controller.abort()
  }
  const made = make({ effect: 'noise' }, { signal: controller.signal, onEvent })
  await expect(made).rejects.toMatchObject({ name: 'Interrupted' })
  expect(existsSync(join(root, `${outputs}.zip`))).toBe(false)
})

test('an effect does not overwrite a file', async () => {
  const path = join(folder, 'mono.wav')
  const before = readFileSync(path)
  await expect(make({ effect: `ametadata=print:file=${path}` })).rejects.toThrow(
    'has the filter ametadata, which can overwrite files',
  )
  expect(readFileSync(path).equals(before)).toBe(true)
})

test('a recording whose caption no training would read is left out, and an empty caption is named', async () => {
  const captions = join(root, 'captions')
  mkdirSync(captions)
  const texts = { a: 'a voice', b: Buffer.from([0x66, 0xfc, 0x72]), c: 'long '.repeat(20_000), d: ' \n' }
  for (const [name, text] of Object.entries(texts)) {
    writeWav(join(captions, `${name}.wav`), voice)
    writeFileSync(join(captions, `${name}.txt`), text)
  }
  const warnings: string[] = []
  const onEvent = (event: ProgressEvent) => {
    if (event.type === 'warning') warnings.push(event.message)
  }
  const { pairs, problems, zip } = await make({ clean: [captions, join(captions, 'b.wav')] }, { onEvent })
  expect(pairs.map(({ name }) => name)).toEqual(['a', 'd'])
  expect(problems.map(({ message }) => message)).toEqual([
    'b.txt is not UTF-8 text',
    'c.txt has 100000 bytes',
    `${join(captions, 'b.txt')} is not UTF-8 text`,
  ])
  expect(warnings).toEqual(['d.txt is empty'])
  const { problems: found } = await inspectDataset({ data: zip, audioDurationSeconds: 2 })
  expect(found.filter(({ severity }) => severity !== 'hint')).toEqual([])
})

test('a folder with the name of a caption is none', async () => {
  const beside = join(root, 'beside')
  mkdirSync(join(beside, 'a.txt'), { recursive: true })
  writeWav(join(beside, 'a.wav'), voice)
  expect((await make({ clean: [join(beside, 'a.wav')] })).pairs).toHaveLength(1)
})
