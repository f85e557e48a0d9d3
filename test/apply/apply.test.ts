import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type ApplyEvent, type ApplyRunOptions, apply } from '../../src/apply/apply.ts'
import { decodeAudio } from '../../src/audio/decode.ts'
import { resample } from '../../src/audio/resample.ts'
import { toStereo, type Waveform } from '../../src/audio/waveform.ts'
import type { ApplyOptions } from '../../src/config/settings.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { preview } from '../../src/preview/preview.ts'
import { tone, writeWav } from '../audio/signals.ts'
import { inFolder, newFolder } from '../cli/bin.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-apply-'))
const cache = join(folder, 'cache')

const noise = (samples: number, sampleRate: number, { channels = 2, level = 0.1 } = {}): Waveform => ({
  sampleRate,
  channels: Array.from({ length: channels }, (_, c) =>
    normals(randomFor(1, 'noise', c), samples).map((value) => Math.fround(level * value)),
  ),
})

const small = { prompt: 'x', steps: 2, cfg: 1, stgScale: 0, window: 0.5, backend: 'wasm' } as const

type Options = Partial<ApplyOptions> & Pick<ApplyOptions, 'in' | 'out'>

/** The result of `apply`, and its events. */
async function applied(options: Options, runOptions: ApplyRunOptions = {}) {
  const events: ApplyEvent[] = []
  const onEvent = (event: ApplyEvent) => void events.push(event)
  const { recordings } = await inFolder({ env: { LTX_A2A_CACHE: cache } }, () =>
    apply({ ...small, ...options }, { onEvent, ...runOptions }),
  )
  return { statuses: recordings.map(({ status }) => status), recordings, events }
}

/** The decoded result for a waveform. */
async function resultOf(waveform: Waveform, options: Partial<ApplyOptions> = {}) {
  const here = newFolder()
  const out = join(here, 'out.wav')
  await applied({ in: writeWav(join(here, 'in.wav'), waveform, 'float32'), out, ...options })
  return decodeAudio(out)
}

const largestDifference = (a: Waveform, b: Waveform) =>
  Math.max(
    ...a.channels.map((channel, c) =>
      channel.reduce((largest, sample, i) => Math.max(largest, Math.abs(sample - (b.channels[c]?.[i] as number))), 0),
    ),
  )

const oneStep24 = 2 ** -23

describe('a result', () => {
  it.each([
    [44_100, 1, 60_001],
    [48_000, 2, 33_333],
    [16_000, 2, 25_600],
    [8000, 6, 5000],
  ])(
    'has the rate and length of the recording, and two channels: %i Hz, %i channels',
    async (rate, channels, samples) => {
      const result = await resultOf(noise(samples, rate, { channels }))
      expect([result.sampleRate, result.channels.map(({ length }) => length)]).toEqual([rate, [samples, samples]])
      expect(Math.max(...(result.channels[0]?.subarray(0, 1000) ?? []))).toBeGreaterThan(0)
    },
  )

  it('has another sample rate if that is asked for', async () => {
    const result = await resultOf(noise(24_000, 48_000), { sampleRate: 44_100 })
    expect([result.sampleRate, result.channels[0]?.length]).toEqual([44_100, 22_050])
  })

  it('says how many samples of phase reconstruction are above full scale', async () => {
    const here = newFolder()
    const recording = writeWav(join(here, 'in.wav'), noise(24_000, 48_000, { level: 0.4 }), 'float32')
    const options = { renderer: 'griffin-lim', normalizeReference: false } as const
    const { events } = await applied({ in: recording, out: join(here, 'out.wav'), ...options })
    const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))
    expect(warnings).toEqual([
      expect.stringMatching(/in\.wav: \d+ samples of the result above full scale were clipped/),
    ])
  })

  it('has a rate that its format allows', async () => {
    const here = newFolder()
    const recording = writeWav(join(here, 'in.wav'), noise(9000, 18_000))
    const out = join(here, 'out.mp3')
    const { events } = await applied({ in: recording, out, mix: 0.5 })
    expect(events).toContainEqual({ type: 'info', message: `${out} has 22050 Hz: .mp3 files cannot have 18000 Hz` })
    const { sampleRate, channels } = await decodeAudio(out)
    expect(sampleRate).toBe(22_050)
    expect(channels[0]?.length).toBeGreaterThanOrEqual(11_025)
    await expect(applied({ in: recording, out: join(here, 'other.opus'), sampleRate: 44_100 })).rejects.toMatchObject({
      message: expect.stringContaining('other.opus cannot have 44100 Hz'),
      hint: 'use --sample-rate 48000, or another format than .opus',
    })
  })

  it('of a recording as long as a window is what a preview makes of it', async () => {
    const here = newFolder()
    const reference = writeWav(join(here, 'in.wav'), noise(7680, 16_000), 'float32')
    const options = { normalizeReference: false, seed: 7 }
    const result = await resultOf(noise(7680, 16_000), { ...options, sampleRate: 48_000 })
    const { window: _, ...settings } = small
    const { waveform } = await inFolder({ env: { LTX_A2A_CACHE: cache } }, () =>
      preview({ reference, ...settings, ...options }),
    )
    expect(result.channels[0]?.length).toBe(waveform.channels[0]?.length)
    expect(largestDifference(result, waveform)).toBeLessThanOrEqual(oneStep24)
  })

  it('has the level of the recording, although the model gets normalized sound', async () => {
    const [loud, quiet] = [
      await resultOf(noise(20_000, 16_000)),
      await resultOf(noise(20_000, 16_000, { level: 0.01 })),
    ]
    const scaled = { ...quiet, channels: quiet.channels.map((channel) => channel.map((sample) => 10 * sample)) }
    expect(largestDifference(loud, scaled)).toBeLessThan(1e-4)
  })

  it('is mixed with the recording', async () => {
    const recording = noise(30_000, 44_100, { channels: 1 })
    const rate = { sampleRate: 32_000 }
    const dry = resample(toStereo(recording), 32_000)
    const [none, half, all] = [
      await resultOf(recording, { ...rate, mix: 0 }),
      await resultOf(recording, { ...rate, mix: 0.5 }),
      await resultOf(recording, rate),
    ] as const
    expect(largestDifference(none, dry)).toBeLessThanOrEqual(oneStep24)
    const mean = all.channels.map((channel, c) =>
      channel.map((sample, i) => (sample + (dry.channels[c]?.[i] ?? 0)) / 2),
    )
    expect(largestDifference(half, { ...half, channels: mean })).toBeLessThanOrEqual(2 * oneStep24)
    expect(largestDifference(all, dry)).toBeGreaterThan(0.01)
  })

  it.each(['wav', 'flac', 'mp3', 'ogg', 'm4a'] as const)('is the same again, and is recognized: %s', async (format) => {
    const here = newFolder()
    const recording = writeWav(join(here, 'in.wav'), noise(10_000, 16_000))
    const [first, second] = [1, 2].map((i) => join(here, `out${i}.${format}`)) as [string, string]
    await applied({ in: recording, out: first })
    await applied({ in: recording, out: second })
    expect(readFileSync(second).equals(readFileSync(first))).toBe(true)
    expect((await applied({ in: recording, out: first })).statuses).toEqual(['kept'])
    const other = await applied({ in: recording, out: first, seed: 1 })
    expect(other.statuses).toEqual(['written'])
    expect(other.events).toContainEqual({
      type: 'info',
      message: `${recording} → ${first}, in place of a result with other settings`,
    })
    expect(readFileSync(second).equals(readFileSync(first))).toBe(false)
  })
})

describe('several recordings', () => {
  it('are transformed although one of them cannot be', async () => {
    const here = newFolder()
    const recordings = join(here, 'in')
    mkdirSync(recordings)
    writeWav(join(recordings, 'a.wav'), noise(10_000, 16_000))
    writeFileSync(join(recordings, 'b.wav'), 'this is not sound, whatever its name says')
    writeWav(join(recordings, 'c.wav'), { sampleRate: 16_000, channels: [new Float32Array(9000)] })
    writeWav(join(recordings, 'd.wav'), noise(100, 16_000))
    writeWav(join(recordings, 'e.wav'), noise(10_000, 16_000))
    const { statuses, events } = await applied({ in: recordings, out: join(here, 'out') })
    expect(statuses).toEqual(['written', 'failed', 'failed', 'failed', 'written'])
    expect(readdirSync(join(here, 'out'))).toEqual(['a.wav', 'e.wav'])
    const failures = events.flatMap((event) => (event.type === 'recording' && event.message ? [event.message] : []))
    expect(failures).toEqual([
      `${join(recordings, 'b.wav')} cannot be read as .wav audio`,
      `${join(recordings, 'c.wav')} is silent`,
      `${join(recordings, 'd.wav')} has only 0.006 s`,
    ])
  })

  it('are transformed although one may not be read', async () => {
    const here = newFolder()
    const recordings = join(here, 'in')
    mkdirSync(join(recordings, 'b.wav'), { recursive: true })
    writeWav(join(recordings, 'c.wav'), noise(10_000, 16_000))
    const unreadable = writeWav(join(recordings, 'a.wav'), noise(10_000, 16_000))
    symlinkSync('nowhere', join(recordings, 'd.wav'))
    let isFirst = true
    const onEvent = () => {
      if (isFirst) rmSync(unreadable) // as if it had been removed meanwhile
      isFirst = false
    }
    const result = await inFolder({ env: { LTX_A2A_CACHE: cache } }, () =>
      apply({ ...small, in: [join(recordings, 'c.wav'), recordings], out: join(here, 'out') }, { onEvent }),
    )
    expect(result.recordings.map(({ input, status }) => [input, status])).toEqual([
      [join(recordings, 'c.wav'), 'written'],
      [unreadable, 'failed'],
      [join(recordings, 'd.wav'), 'failed'],
    ])
  })

  it('continue after an interruption, and nothing half-written is left', async () => {
    const here = newFolder()
    const recordings = ['a', 'b', 'c'].map((name) => writeWav(join(here, `${name}.wav`), noise(20_000, 16_000)))
    const options = { in: recordings, out: join(here, 'out'), mix: 0.5 }
    const controller = new AbortController()
    let rendered = 0
    const onEvent = (event: ApplyEvent) => {
      if (event.type === 'stage' && event.stage === 'Rendering' && ++rendered === 4) controller.abort()
    }
    await expect(applied(options, { signal: controller.signal, onEvent })).rejects.toMatchObject({
      name: 'Interrupted',
      message: 'stopped: 1 of 3 recordings finished',
    })
    expect(readdirSync(options.out)).toEqual(['a.wav'])
    expect((await applied(options)).statuses).toEqual(['kept', 'written', 'written'])
  })
})

describe('nothing is computed or written', () => {
  const recording = writeWav(join(folder, 'recording.wav'), tone(0.5))

  it('where a file is in the place of a result', async () => {
    const out = writeWav(join(folder, 'mine.wav'), tone(0.5))
    await expect(applied({ in: recording, out })).rejects.toThrow('exists already, and this command did not write it')
    expect((await applied({ in: recording, out }, { force: true })).statuses).toEqual(['written'])
  })

  it('over a recording', async () => {
    const before = readFileSync(recording)
    for (const force of [false, true])
      await expect(applied({ in: recording, out: recording }, { force })).rejects.toThrow('is an input of this command')
    await expect(applied({ in: [recording], out: folder }, { force: true })).rejects.toThrow('is an input')
    expect(readFileSync(recording).equals(before)).toBe(true)
  })

  it('for a LoRA that is missing', async () => {
    await expect(applied({ in: recording, out: join(folder, 'x.wav'), lora: 'none.safetensors' })).rejects.toThrow(
      'none.safetensors',
    )
  })
})
