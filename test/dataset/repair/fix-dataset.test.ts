/** Repairs of constructed datasets, whose right values are known. */
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { align } from '../../../src/audio/analysis/alignment.ts'
import { toMono } from '../../../src/audio/analysis/channels.ts'
import { decodeAudio } from '../../../src/audio/decode.ts'
import { readPositions } from '../../../src/audio/interpolate.ts'
import { encodeWav, parseWavHeader } from '../../../src/audio/wav.ts'
import { sampleCount, type Waveform } from '../../../src/audio/waveform.ts'
import type { FixSettings } from '../../../src/config/settings.ts'
import { inspectDataset } from '../../../src/dataset/dataset.ts'
import { fixDataset, fixedDatasetMarker } from '../../../src/dataset/repair/fix-dataset.ts'
import type { FixPlan } from '../../../src/dataset/repair/fix-plan.ts'
import { openSource } from '../../../src/dataset/source.ts'
import { openOutputFile } from '../../../src/platform/output-file.ts'
import type { ProgressEvent, RunOptions } from '../../../src/platform/progress.ts'
import { louder, performance, radio } from '../../audio/analysis/sounds.ts'
import { writeWav } from '../../audio/signals.ts'
import { rawZip } from '../../reliability/raw-zip.ts'

const root = mkdtempSync(join(tmpdir(), 'ltx-test-'))
afterAll(() => rmSync(root, { recursive: true }))

const sampleRate = 22_050
const sound = (seed: number, seconds = 6) => performance(seed, { seconds, sampleRate })

/** Delayed by `frames`, and slower by `drift`. */
const shifted = ({ channels, sampleRate }: Waveform, frames: number, drift = 0): Waveform => {
  const step = 1 / (1 + drift)
  return {
    sampleRate,
    channels: channels.map((channel) =>
      readPositions(channel, { start: -frames * step, step, length: channel.length }),
    ),
  }
}

/** After so many seconds of silence. */
const padded = ({ channels, sampleRate }: Waveform, seconds: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => Float32Array.from([...new Float32Array(seconds * sampleRate), ...channel])),
})

/** Silent before. */
const fromSecond = ({ channels, sampleRate }: Waveform, second: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.map((sample, i) => (i < second * sampleRate ? 0 : sample))),
})

async function fix(
  data: string,
  out: string,
  settings: Partial<FixSettings> = {},
  options: RunOptions<ProgressEvent> = {},
): Promise<FixPlan> {
  const source = await openSource(data, { signal: options.signal })
  try {
    const file = openOutputFile(out, { inputs: [data], marker: fixedDatasetMarker })
    return await fixDataset(source, { audioDurationSeconds: 5, keep: [], ...settings }, file, options)
  } finally {
    await source.close()
  }
}

const withFile = async <T>(zip: string, path: string, use: (file: string) => Promise<T>): Promise<T> => {
  const source = await openSource(zip)
  try {
    return await source.withFile(path, use)
  } finally {
    await source.close()
  }
}

const audio = (zip: string, path: string) => withFile(zip, path, (file) => decodeAudio(file))
const bytes = (zip: string, path: string) => withFile(zip, path, async (file) => readFileSync(file))
const hash = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

describe('a dataset with every fault', () => {
  const folder = join(root, 'data')
  const [fixed, again] = [join(root, 'fixed.zip'), join(root, 'again.zip')]
  const put = (name: string, start: Waveform, end: Waveform) => {
    writeWav(join(folder, `${name}_start.wav`), start)
    writeWav(join(folder, `${name}_end.wav`), end)
  }
  let plan: FixPlan
  const pair = (name: string) => plan.pairs.find((pair) => pair.name === name) as FixPlan['pairs'][0]

  beforeAll(async () => {
    mkdirSync(folder)
    for (const seed of [1, 2, 3]) put(`good-${seed}`, sound(seed), radio(sound(seed)))
    writeFileSync(join(folder, 'good-1.txt'), 'a radio')
    put('late', sound(4), shifted(sound(4), 815))
    put('early', sound(5), shifted(sound(5), -1000))
    const drifting = sound(6, 12)
    put('drift', drifting, shifted(drifting, 300, 1e-3))
    put('quiet', louder(sound(7), 0.05), louder(radio(sound(7)), 0.05))
    put('silent', sound(8), louder(sound(8), 0))
    put('clipped', sound(9), louder(radio(sound(9)), 30))
    put('the-same', sound(1), louder(radio(sound(1)), 0.9))
    put('lead-in', padded(sound(13), 6), padded(radio(sound(13)), 6))
    const [long, far] = [sound(14, 12), sound(15)]
    put('late-target', long, fromSecond(long, 6))
    put('far', far, shifted(radio(far), 2.5 * sampleRate))
    writeFileSync(join(folder, 'make-pairs.json'), '{"effect":"noise"}')
    writeWav(join(folder, 'lonely_start.wav'), sound(10))
    writeWav(join(folder, 'Odd Start.wav'), sound(11))
    writeWav(join(folder, 'odd-end.wav'), radio(sound(11)))
    writeFileSync(join(folder, 'odd.txt'), 'odd')
    writeFileSync(join(folder, 'bad_start.wav'), 'no audio')
    writeWav(join(folder, 'bad_end.wav'), sound(12))
    plan = await fix(folder, fixed)
  })

  test('pairs are rejected with their reasons', async () => {
    expect(plan.rejected.map(({ name, kind }) => [name, kind])).toEqual([
      ['bad', 'unreadable'],
      ['clipped', 'clipped'],
      ['lonely', 'one-sided'],
      ['silent', 'silent'],
      ['the-same', 'duplicate'],
    ])
    const reasons = (await bytes(fixed, 'rejected/reasons.txt')).toString()
    expect(reasons).toMatch(/^bad: bad_start.wav has only 8 bytes\nclipped: Clipped target: \d+ places\n/)
    expect(reasons).toMatch(/\nsilent: silent_end.wav is silent\nthe-same: Near-duplicates \(as good-1\)\n$/)
    expect(await bytes(fixed, 'rejected/lonely/start.wav')).toEqual(readFileSync(join(folder, 'lonely_start.wav')))
  })

  test('files that need no change are copied byte for byte, and captions are kept', async () => {
    for (const name of ['good-1_start.wav', 'good-1_end.wav', 'good-1.txt', 'good-3_end.wav'])
      expect((await bytes(fixed, name)).equals(readFileSync(join(folder, name)))).toBe(true)
    expect((await bytes(fixed, 'odd_start.wav')).equals(readFileSync(join(folder, 'Odd Start.wav')))).toBe(true)
    expect((await bytes(fixed, 'odd.txt')).toString()).toBe('odd')
  })

  test.each([
    ['late', 815],
    ['early', -1000],
  ])('a constant lag is cut to the sample: %s', async (name, frames) => {
    expect(Math.round(pair(name).lagSeconds * sampleRate)).toBe(frames)
    const [start, end] = [await audio(fixed, `${name}_start.wav`), await audio(fixed, `${name}_end.wav`)]
    expect(start).toEqual(end)
    expect(sampleCount(start)).toBe(6 * sampleRate - Math.abs(frames))
  })

  test('silence at the beginning of both sides is trimmed, and a pair with sound in another clip is kept', async () => {
    expect(pair('lead-in').trimmed.start).toBeCloseTo(5.9, 5)
    const [start, end] = [await audio(fixed, 'lead-in_start.wav'), await audio(fixed, 'lead-in_end.wav')]
    expect([sampleCount(start), sampleCount(end)]).toEqual([6.1 * sampleRate, 6.1 * sampleRate])
    const { channels } = await decodeAudio(join(folder, 'lead-in_start.wav'))
    expect(start.channels[0]?.every((sample, i) => sample === channels[0]?.[i + Math.round(5.9 * sampleRate)])).toBe(
      true,
    )
    expect(pair('late-target')).toMatchObject({ trimmed: { start: 0, end: 0 }, lagSeconds: 0 })
    const left = plan.remaining.find(({ kind }) => kind === 'silent-target')
    expect(left?.pairs).toEqual([{ name: 'late-target', detail: 'silent until 6.0 s' }])
  })

  test('a lag of seconds is removed', () => expect(pair('far').lagSeconds).toBeCloseTo(2.5, 3))

  test('the record of make-pairs is kept', async () => {
    expect((await bytes(fixed, 'make-pairs.json')).toString()).toBe('{"effect":"noise"}')
    expect(plan.unused).toEqual([])
  })

  test('a drift is measured to 3 ppm, and gone to a tenth of a millisecond', async () => {
    expect(pair('drift').driftPpm).toBeGreaterThan(997)
    expect(pair('drift').driftPpm).toBeLessThan(1003)
    const [start, end] = [await audio(fixed, 'drift_start.wav'), await audio(fixed, 'drift_end.wav')]
    expect(sampleCount(start)).toBe(sampleCount(end))
    const part = ({ channels: [samples] }: Waveform, second: number): Waveform => ({
      sampleRate,
      channels: [(samples as Float32Array).slice(second * sampleRate, (second + 2) * sampleRate)],
    })
    for (const second of [0, 4, 8])
      expect(Math.abs(align(toMono(part(start, second)), toMono(part(end, second))).lagSeconds as number)).toBeLessThan(
        1e-4,
      )
  })

  test('both sides get the same gain, in samples of 24 bits', async () => {
    const { gainDb } = pair('quiet')
    expect(gainDb).toBeGreaterThan(20)
    expect(gainDb).toBeLessThan(30)
    for (const side of ['start', 'end']) {
      const before = await decodeAudio(join(folder, `quiet_${side}.wav`))
      const after = await audio(fixed, `quiet_${side}.wav`)
      const gain = 10 ** (gainDb / 20)
      const expected = (before.channels[0] as Float32Array).map((sample) => sample * gain)
      const difference = expected.reduce(
        (most, x, i) => Math.max(most, Math.abs(x - (after.channels[0]?.[i] as number))),
        0,
      )
      expect(difference).toBeLessThan(2 ** -23)
      expect(parseWavHeader(await bytes(fixed, `quiet_${side}.wav`))).toMatchObject({ bitsPerSample: 24, sampleRate })
    }
  })

  test('what was repaired is not left to the user', () => {
    const kinds = plan.remaining.map(({ kind }) => kind)
    expect(kinds).toContain('no-caption')
    for (const kind of ['unrelated', 'out-of-sync', 'uneven-loudness', 'duplicate']) expect(kinds).not.toContain(kind)
  })

  test('an inspection finds nothing that was repaired', async () => {
    const { problems, advice } = await inspectDataset({ data: fixed, audioNormalize: false })
    expect(problems.filter(({ severity }) => severity !== 'hint').map(({ pair }) => pair)).toEqual(['late-target'])
    const kinds = advice?.findings.map(({ kind }) => kind) ?? []
    for (const kind of ['out-of-sync', 'drift', 'silence', 'clipped-target', 'duplicate', 'uneven-loudness'])
      expect(kinds).not.toContain(kind)
  })

  test('an inspection of the faulty dataset names what a repair does', async () => {
    const { advice, pairs } = await inspectDataset({ data: folder, windows: 'all' })
    const finding = (kind: string) => advice?.findings.find((finding) => finding.kind === kind)
    expect(finding('drift')).toMatchObject({ hint: expect.stringContaining('ltx-a2a fix-dataset repairs it') })
    expect(finding('drift')?.pairs).toEqual([
      {
        name: 'drift',
        detail: expect.stringMatching(/^drift of (999|1000|1001)\.\d ppm \(the target falls behind\)$/),
      },
    ])
    expect(finding('out-of-sync')?.hint).toContain('ltx-a2a fix-dataset repairs it')
    expect(finding('out-of-sync')?.pairs.map(({ name }) => name)).toEqual(['early', 'far', 'late'])
    expect(finding('unrelated')).toBeUndefined()
    expect(finding('silent-target')).toBeUndefined() // --windows all leaves the silent clips out
    expect(pairs.find(({ name }) => name === 'lead-in')?.clips).toEqual({ used: 1, all: 1, silent: 1 })
  })

  test('a second repair changes nothing, and the input is not touched', async () => {
    const before = hash(fixed)
    const second = await fix(fixed, again)
    expect(second.counts).toEqual({ pairs: 11, changed: 0, rejected: 0 })
    expect(hash(again)).toBe(before)
    expect(hash(fixed)).toBe(before)
  })

  test('an earlier rejection is kept beside new ones', async () => {
    const more = join(root, 'more')
    mkdirSync(join(more, 'rejected', 'a'), { recursive: true })
    writeFileSync(join(more, 'rejected', 'a', 'start.wav'), 'x')
    writeFileSync(join(more, 'rejected', 'reasons.txt'), 'a: silent\n')
    for (const name of ['good-1_start.wav', 'good-1_end.wav']) copyFileSync(join(folder, name), join(more, name))
    writeWav(join(more, 'a_start.wav'), sound(20))
    await fix(more, join(root, 'more.zip'))
    expect((await bytes(join(root, 'more.zip'), 'rejected/reasons.txt')).toString()).toBe(
      'a: silent\na-2: a_start.wav has no target\n',
    )
    expect((await bytes(join(root, 'more.zip'), 'rejected/a/start.wav')).toString()).toBe('x')
  })
})

test('clipped pairs are kept where that is wanted, and a peak above full scale is kept in floats', async () => {
  const folder = mkdtempSync(join(root, 'loud-'))
  const loud = louder(sound(30), 8)
  writeWav(join(folder, 'a_start.wav'), sound(30))
  writeWav(join(folder, 'a_end.wav'), louder(radio(sound(30)), 30))
  writeWav(join(folder, 'b_start.wav'), loud, 'float32')
  writeWav(join(folder, 'b_end.wav'), shifted(loud, 700), 'float32')
  const plan = await fix(folder, join(root, 'loud.zip'), { keep: ['clipped'] })
  expect(plan.rejected).toEqual([])
  const header = parseWavHeader(await bytes(join(root, 'loud.zip'), 'b_end.wav'))
  expect(header).toMatchObject({ encoding: 'float', bitsPerSample: 32 })
})

test('a dataset of which nothing is left is refused, and nothing is written', async () => {
  const folder = mkdtempSync(join(root, 'none-'))
  writeWav(join(folder, 'a_start.wav'), sound(31))
  writeWav(join(folder, 'a_end.wav'), louder(sound(31), 0))
  const out = join(root, 'none.zip')
  await expect(fix(folder, out)).rejects.toThrow('a_end.wav is silent')
  expect(() => readFileSync(out)).toThrow('ENOENT')
})

test('a rejected file that cannot be copied is left out, and the reasons name it', async () => {
  const wav = (sound: Waveform) => Buffer.from(encodeWav(sound))
  const [start, end] = [wav(sound(40)), wav(radio(sound(40)))]
  const data = join(root, 'damaged.zip')
  const entries = [
    { name: 'good_start.wav', content: start },
    { name: 'good_end.wav', content: end },
    { name: 'good.txt', content: 'a radio', crc: 1 },
    { name: 'bad_start.wav', content: wav(sound(41)), crc: 1 },
    { name: 'bad_end.wav', content: end },
    { name: 'alone_start.wav', content: wav(sound(42)), method: 12 },
    { name: 'rejected/old/end.wav', content: end, crc: 1 },
    { name: 'rejected/reasons.txt', content: 'old: silent\n' },
  ]
  writeFileSync(data, rawZip(entries))
  const fixed = join(root, 'not-damaged.zip')
  const plan = await fix(data, fixed)
  expect(plan.counts).toMatchObject({ pairs: 1, rejected: 2 })
  const source = await openSource(fixed)
  expect(source.paths).toEqual(['good_end.wav', 'good_start.wav', 'rejected/bad/end.wav', 'rejected/reasons.txt'])
  await source.close()
  expect((await bytes(fixed, 'rejected/reasons.txt')).toString().split('\n')).toEqual([
    'old: silent',
    `alone: alone_start.wav has no target; alone_start.wav is not copied: alone_start.wav in ${data} is packed by method 12`,
    `bad: bad_start.wav in ${data} is damaged or cut off; bad_start.wav is not copied`,
    `good: good.txt in ${data} is damaged or cut off; good.txt is not copied`,
    `rejected/old/end.wav is not copied: rejected/old/end.wav in ${data} is damaged or cut off`,
    '',
  ])
})

test('an interruption during the last pair writes nothing', async () => {
  const folder = mkdtempSync(join(root, 'stopped-'))
  writeWav(join(folder, 'a_start.wav'), sound(50))
  writeWav(join(folder, 'a_end.wav'), radio(sound(50)))
  for (const [stage, status] of [
    ['Measuring', 'started'],
    ['Writing', 'running'],
  ]) {
    const controller = new AbortController()
    const onEvent = (event: ProgressEvent) => {
      if (event.type === 'stage' && event.stage === stage && event.status === status) controller.abort()
    }
    const out = join(root, 'stopped.zip')
    const stopped = fix(folder, out, {}, { signal: controller.signal, onEvent })
    await expect(stopped).rejects.toMatchObject({ name: 'Interrupted' })
    expect(() => readFileSync(out)).toThrow('ENOENT')
  }
})
