import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { encodeWav } from '../../src/audio/wav.ts'
import {
  assertTrainable,
  type Dataset,
  datasetOf,
  inspectDataset,
  inspectSource,
  measureSource,
} from '../../src/dataset/dataset.ts'
import type { DatasetOptions } from '../../src/dataset/fit-plan.ts'
import { openSource } from '../../src/dataset/source.ts'
import { Interrupted } from '../../src/platform/errors.ts'
import type { ProgressEvent } from '../../src/platform/progress.ts'
import { convert, tone, writeWav } from '../audio/signals.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const options: DatasetOptions = {
  triggerPhrase: '',
  seconds: 1,
  preservePitch: true,
  normalize: true,
  windows: 'first' as const,
}

async function inspect(location: string, changed: Partial<DatasetOptions> = {}): Promise<Dataset> {
  const source = await openSource(location)
  try {
    return await inspectSource(source, { ...options, ...changed })
  } finally {
    await source.close()
  }
}

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/zips/${name}.zip`, import.meta.url))

const messages = ({ problems }: Dataset) => problems.map(({ severity, message }) => `${severity}: ${message}`)

test('a valid dataset has no problems and is unchanged after serialization as JSON', async () => {
  const dataset = await inspect(fixture('valid/ten-pairs'), { triggerPhrase: 'ping' })
  expect(dataset.problems).toEqual([])
  expect(dataset.counts).toEqual({
    pairs: 10,
    used: 10,
    skipped: 0,
    stretched: 0,
    trimmed: 0,
    asIs: 10,
    clips: 10,
    allClips: 10,
  })
  const audio = { seconds: 1, sampleRate: 8000, channelCount: 1, peakDbfs: -6.02, silent: false }
  expect(dataset.pairs[3]).toEqual({
    name: 'tone-3',
    reference: { path: 'tone-3_start.wav', audio },
    target: { path: 'tone-3_end.wav', audio },
    caption: 'ping tone 3',
    clips: { used: 1, all: 1, silent: 0 },
    plan: { use: true, reference: { how: 'as-is' }, target: { how: 'as-is' } },
  })
  expect(JSON.parse(JSON.stringify(dataset))).toEqual(dataset)
  expect(() => assertTrainable(dataset)).not.toThrow()
})

test('subfolders, macOS metadata files, upper-case extensions and byte order marks are accepted', async () => {
  const dataset = await inspect(fixture('valid/mac-leftovers-and-folders'))
  expect(dataset.pairs.map(({ name, caption }) => [name, caption])).toEqual([
    ['Snare', ''],
    ['drums', 'dry drums'],
  ])
  expect(messages(dataset)).toEqual([
    'hint: only 2 pairs: train on 10 or more for good results',
    'hint: 1 pair has neither a caption nor a trigger phrase',
  ])
})

describe('in a folder with every kind of pair', () => {
  let dataset: Dataset
  test('every pair is measured, planned and counted', async () => {
    const at = (name: string) => join(folder, name)
    writeWav(at('exact_start.wav'), tone(1))
    writeWav(at('exact_end.wav'), tone(1, { sampleRate: 48_000, channels: 6, level: 0.1 }))
    await convert(at('exact_start.wav'), at('coded_start.mp3'))
    await convert(at('exact_start.wav'), at('coded_end.m4a'))
    writeWav(at('long_start.wav'), tone(1.05))
    writeWav(at('long_end.wav'), tone(2))
    writeWav(at('short_start.wav'), tone(1))
    writeWav(at('short_end.wav'), tone(0.8))
    const late = tone(2, { level: 0.9 })
    for (const channel of late.channels) channel.fill(0, 0, 44_100)
    writeWav(at('late_start.wav'), late)
    writeWav(at('late_end.wav'), tone(2, { level: 0 }))
    writeFileSync(at('late.txt'), '')
    const seen: string[] = []
    const source = await openSource(folder)
    dataset = await inspectSource(source, options, {
      onProgress: ({ done, total, pair }) => seen.push(`${done}/${total} ${pair}`),
    })
    expect(seen.map((line) => line.split(' ')[0])).toEqual(['1/5', '2/5', '3/5', '4/5', '5/5'])
    expect(dataset.counts).toEqual({
      pairs: 5,
      used: 4,
      skipped: 1,
      stretched: 1,
      trimmed: 2,
      asIs: 1,
      clips: 4,
      allClips: 3, // one is silent
    })
  })

  test('the milliseconds added by a lossy codec are removed by stretching', () => {
    expect(dataset.pairs[0]).toMatchObject({ name: 'coded', plan: { use: true, target: { how: 'stretch' } } })
  })

  test('both sides are trimmed when one of them is too long to be stretched', () => {
    expect(dataset.pairs.find(({ name }) => name === 'long')?.plan).toEqual({
      use: true,
      reference: { how: 'trim' },
      target: { how: 'trim' },
    })
  })

  test('a pair with a short side is skipped, and the other pairs remain trainable', () => {
    expect(dataset.pairs.find(({ name }) => name === 'short')?.plan).toEqual({
      use: false,
      reason: 'target has 0.8 s of 1 s',
    })
    expect(() => assertTrainable(dataset)).not.toThrow()
  })

  test('silence is detected in the part that is used', () => {
    expect(dataset.pairs.find(({ name }) => name === 'late')?.reference.audio).toMatchObject({
      peakDbfs: null,
      silent: true,
    })
    expect(messages(dataset)).toEqual([
      'warning: late.txt is empty',
      'warning: late_start.wav is silent in the part that is used',
      'warning: late_end.wav is silent in the part that is used',
      'hint: only 5 pairs: train on 10 or more for good results',
      'hint: 4 pairs have neither a caption nor a trigger phrase',
    ])
  })
})

describe('an invalid dataset is refused', () => {
  test.each([
    ['reference-missing-for-drums', 'drums_end.wav has no reference drums_start'],
    ['drums-end-is-text', 'drums_end.wav cannot be read as .wav audio'],
    ['caption-in-latin-1', 'drums.txt is not UTF-8 text'],
    ['without-pairs', 'there is no pair'],
  ])('%s: %s', async (name, message) => {
    const path = fixture(`invalid/${name}`)
    const dataset = await inspect(path)
    const error = { name: 'UserError', message: `${path}: ${message}`, hint: expect.any(String) }
    expect(() => assertTrainable(dataset)).toThrow(expect.objectContaining(error))
  })

  test('several errors are shown together', async () => {
    const dataset = await inspect(fixture('invalid/drums-in-two-folders'))
    expect(() => assertTrainable(dataset)).toThrow(
      /has 2 errors:\n {2}the pair drums has 2 references: a\/drums_start.wav and b\/drums_start.wav .*\n {2}the pair drums has 2 targets: a\/drums_end.wav and b\/drums_end.wav /,
    )
  })

  test('damaged content is an error of its file', async () => {
    const dataset = await inspect(fixture('invalid/content-damaged'))
    expect(messages(dataset)[0]).toMatch(/^error: drums_start.wav in .* is damaged or cut off$/)
    expect(dataset.pairs[0]).toMatchObject({
      reference: { audio: null },
      clips: { used: 0, all: 0, silent: 0 },
      plan: { use: false, reason: 'reference cannot be read' },
    })
  })

  test('samples that are not numbers are an error of their file', async () => {
    const bad = join(folder, 'not-numbers')
    mkdirSync(bad)
    const target = tone(1)
    target.channels[0]?.fill(Number.NaN, 22_050, 22_051)
    for (const name of ['good', 'bad']) writeWav(join(bad, `${name}_start.wav`), tone(1))
    writeWav(join(bad, 'good_end.wav'), tone(1))
    writeWav(join(bad, 'bad_end.wav'), target, 'float32')
    const dataset = await inspect(bad)
    expect(messages(dataset)[0]).toBe('error: bad_end.wav has a sample that is not a number at 0.500 s')
    expect(dataset.pairs.map(({ plan }) => plan.use)).toEqual([false, true])
    expect(() => assertTrainable(dataset)).toThrow('bad_end.wav has a sample that is not a number at 0.500 s')
  })

  test('when no pair is long enough, the recommended length is named', async () => {
    const path = fixture('invalid/shorter-than-five-seconds')
    const dataset = await inspect(path, { seconds: 5 })
    expect(() => assertTrainable(dataset)).toThrow(
      `${path}: no pair has 5 s on both sides; 2 pairs have at least 3.2 s: try --audio-duration-seconds 3.2 (1 pair has at least 4.1 s)`,
    )
    expect((await inspect(path, { seconds: 4.1 })).counts.used).toBe(1)
    expect((await inspect(path, { seconds: 3.2 })).counts.used).toBe(2)
  })
})

describe('many files that are not audio', () => {
  const many = async (name: string, count: number, content: (i: number) => Uint8Array | string) => {
    const home = join(folder, name)
    mkdirSync(home)
    for (let i = 0; i < count; i++)
      for (const side of ['start', 'end'])
        writeFileSync(join(home, `${String(i).padStart(5, '0')}_${side}.wav`), content(i))
    const source = await openSource(home)
    let inspected = 0
    const dataset = await inspectSource(source, options, { onProgress: () => void inspected++ })
    return { dataset, inspected }
  }

  test('stop the inspection with one sentence, and the list of problems stays short', async () => {
    const { dataset, inspected } = await many('one-byte', 9500, () => 'x')
    expect(messages(dataset)).toHaveLength(22)
    expect(messages(dataset)[0]).toBe(
      'error: 50 pairs in a row cannot be read, so the remaining 9450 pairs were not inspected',
    )
    expect(messages(dataset)).toEqual(
      expect.arrayContaining(['error: 00000_start.wav has only 1 byte', 'error: 80 more like this: … has only … byte']),
    )
    expect(dataset.counts).toMatchObject({ pairs: 50, used: 0 })
    expect(inspected).toBeLessThan(60)
    expect(() => assertTrainable(dataset)).toThrow('22 errors')
  })

  test('do not stop it while some pairs can be read', async () => {
    const wav = encodeWav(tone(0.6, { sampleRate: 8000, channels: 1 }))
    const { dataset } = await many('some-audio', 120, (i) => (i % 50 === 49 ? wav : ''))
    expect(dataset.counts).toMatchObject({ pairs: 120 })
    expect(messages(dataset)).toContain('error: 216 more like this: … is empty (… bytes)')
  })
})

describe('the function of the library', () => {
  const data = fixture('valid/ten-pairs')

  test('returns what the command prints, with an event for each pair', async () => {
    const positions: number[] = []
    const dataset = await inspectDataset(
      { data, triggerPhrase: 'ping', audioDurationSeconds: 0.5 },
      { onEvent: (event) => void (event.type === 'stage' && positions.push(event.position)) },
    )
    expect(dataset.options).toEqual({
      triggerPhrase: 'ping',
      seconds: 0.5,
      preservePitch: true,
      normalize: true,
      windows: 'first' as const,
    })
    expect(dataset.counts).toMatchObject({ pairs: 10, used: 10, trimmed: 10 })
    expect(dataset.advice).toBeDefined()
    expect(positions).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10])
  })

  test.each([undefined, {}])('needs data, not %j', async (options) => {
    await expect(inspectDataset(options as never)).rejects.toMatchObject({
      name: 'UserError',
      message: 'there is no dataset',
    })
  })

  test('stops between two pairs when it is aborted', async () => {
    const controller = new AbortController()
    let last = 0
    const onEvent = (event: ProgressEvent) => {
      if (event.type === 'stage') last = event.position
      if (last === 2) controller.abort()
    }
    await expect(inspectDataset({ data }, { signal: controller.signal, onEvent })).rejects.toThrow(Interrupted)
    expect(last).toBeLessThan(5)
  })
})

test('what was measured gives the same dataset with another trigger phrase as an inspection with it', async () => {
  for (const name of ['valid/ten-pairs', 'valid/mac-leftovers-and-folders']) {
    const source = await openSource(fixture(name))
    const measured = await measureSource(source, { ...options, triggerPhrase: 'ping' }, { analyzeSound: true })
    for (const triggerPhrase of ['', 'tone', 'as on vinyl'])
      expect(datasetOf(measured, triggerPhrase)).toEqual(
        await inspectSource(source, { ...options, triggerPhrase }, { analyzeSound: true }),
      )
    await source.close()
  }
})
