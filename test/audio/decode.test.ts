import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { decodeAudio, demuxers, measureAudio } from '../../src/audio/decode.ts'
import { findFfmpeg, runFfmpeg } from '../../src/audio/ffmpeg.ts'
import { durationOf, largestSample, peak } from '../../src/audio/waveform.ts'
import { parseLimits } from '../../src/config/limits.ts'
import { convert, risesPerSecond, tone, writeWav } from './signals.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))
const at = (name: string) => join(folder, name)

describe('decoding a valid file', () => {
  test('returns the exact samples of all channels of a float wav file', async () => {
    for (const channels of [1, 2, 3, 6, 8]) {
      const waveform = tone(0.1, { channels, hertz: 100, sampleRate: 22_050 })
      expect(await decodeAudio(writeWav(at(`${channels}.wav`), waveform, 'float32'))).toEqual(waveform)
    }
  })

  test('divides 16-bit samples by 32768', async () => {
    const decoded = await decodeAudio(
      writeWav(at('levels.wav'), { sampleRate: 8000, channels: [Float32Array.of(1, -1, 0.5)] }),
    )
    expect(decoded.channels).toEqual([Float32Array.of(32767 / 32768, -32767 / 32768, 16383 / 32768)])
  })

  test.each(['flac', 'mp3', 'ogg', 'm4a', 'aac'])(
    'preserves the pitch and sample rate of a tone in %s',
    async (extension) => {
      const waveform = tone(1, { sampleRate: 44_100 })
      const path = await convert(writeWav(at(`for-${extension}.wav`), waveform), at(`tone.${extension.toUpperCase()}`))
      const decoded = await decodeAudio(path)
      expect(decoded).toMatchObject({ sampleRate: 44_100, channels: { length: 2 } })
      expect(durationOf(decoded)).toBeGreaterThan(0.995) // ffmpeg 5.1 writes 128 samples too few into Ogg files
      expect(durationOf(decoded)).toBeLessThan(1.1)
      const inner = decoded.channels.map((channel) => risesPerSecond(channel.subarray(4410, 39_690), 44_100))
      expect(inner[0]).toBeCloseTo(440, -1)
      expect(inner[1]).toBeCloseTo(880, -1)
    },
  )

  test.each(['aif', 'aiff', 'aifc', 'caf', 'w64', 'wave', 'au', 'tta', 'wv', 'mka'])(
    'reads lossless %s, which the hosted trainer does not accept',
    async (extension) => {
      const waveform = tone(0.2)
      const path = await convert(writeWav(at(`for-${extension}.wav`), waveform), at(`tone.${extension}`))
      const decoded = await decodeAudio(path)
      expect([durationOf(decoded), decoded.sampleRate]).toEqual([0.2, 44_100])
      expect(peak(decoded)).toBeCloseTo(0.5, 3)
    },
  )

  test.each(['opus', 'oga', 'webm', 'wma', 'mp4', 'm4b', '3gp', 'mp2', 'ac3'])(
    'reads lossy %s, which the hosted trainer does not accept',
    async (extension) => {
      const wav = writeWav(at(`for-${extension}.wav`), tone(1, { sampleRate: 48_000 }))
      const decoded = await decodeAudio(await convert(wav, at(`tone.${extension}`)))
      expect(decoded.sampleRate).toBe(48_000)
      expect(durationOf(decoded)).toBeGreaterThan(0.95) // encoders drop or add a part of a frame
      expect(durationOf(decoded)).toBeLessThan(1.15)
      const inner = decoded.channels.map((channel) => risesPerSecond(channel.subarray(4800, 43_200), 48_000))
      expect(inner[0]).toBeCloseTo(440, -1)
    },
  )

  test('reads amr', async () => {
    const frames = Array.from({ length: 50 }, () => Buffer.concat([Buffer.from([0x3c]), Buffer.alloc(31)])) // 20 ms each
    writeFileSync(at('frames.amr'), Buffer.concat([Buffer.from('#!AMR\n'), ...frames]))
    const decoded = await decodeAudio(at('frames.amr'))
    expect([durationOf(decoded), decoded.sampleRate]).toEqual([1, 8000])
  })

  test('is possible in every known format: ffmpeg has a demuxer for it', async () => {
    const { path } = await findFfmpeg()
    const { stdout } = spawnSync(path, ['-hide_banner', '-demuxers'], { encoding: 'utf8' })
    const names = new Set([...stdout.matchAll(/^ D\S* +(\S+)/gm)].flatMap(([, names = '']) => names.split(',')))
    expect(Object.values(demuxers).filter((name) => !names.has(name))).toEqual([])
  })

  test('stops at maxSeconds without changing the samples before', async () => {
    const path = writeWav(at('long.wav'), tone(2))
    const [whole, part] = [await decodeAudio(path), await decodeAudio(path, { maxSeconds: 0.5 })]
    expect(part.channels[0]).toEqual(whole.channels[0]?.subarray(0, 22_050))
  })
})

describe('measuring', () => {
  test('agrees with decoding and also measures the peak of the head', async () => {
    const waveform = tone(2, { level: 0.25 })
    for (const channel of waveform.channels) channel.fill(0.75, 60_000, 60_010)
    const path = writeWav(at('measured.wav'), waveform, 'float32')
    expect(await measureAudio(path, { headSeconds: 1 })).toEqual({
      seconds: 2,
      sampleRate: 44_100,
      channelCount: 2,
      peak: peak(await decodeAudio(path)),
      headPeak: expect.closeTo(0.25, 3),
    })
    expect((await measureAudio(path, { headSeconds: 1.5 })).headPeak).toBe(0.75)
  })

  test('returns the warnings of ffmpeg for a damaged file that it can decode', async () => {
    const path = await convert(writeWav(at('whole.wav'), tone(2)), at('damaged.flac'))
    const bytes = readFileSync(path)
    writeFileSync(path, bytes.fill(0x55, 30_000, 30_200))
    const facts = await measureAudio(path, { headSeconds: 1 })
    expect(facts.warnings).toMatch(/flac/)
    expect(facts.seconds).toBeGreaterThan(1)
  })

  test('returns the duration of the data present, not the one in the header', async () => {
    const path = writeWav(at('cut.wav'), tone(1, { sampleRate: 8000, channels: 1 }))
    truncateSync(path, 44 + 8000)
    expect((await measureAudio(path, { headSeconds: 1 })).seconds).toBe(0.5)
  })
})

describe('a sample that is not a usable number', () => {
  const withSample = (name: string, sample: number) => {
    const waveform = tone(1, { sampleRate: 8000 })
    waveform.channels[1]?.fill(sample, 4000, 4002)
    return writeWav(at(name), waveform, 'float32')
  }

  test.each([
    [Number.NaN, 'a sample that is not a number'],
    [Number.POSITIVE_INFINITY, 'an infinite sample'],
    [Number.NEGATIVE_INFINITY, 'an infinite sample'],
    [1e29, 'a sample far above full scale (1e+29)'],
    [-32_768, 'a sample far above full scale (-33000)'],
    [largestSample * 1.001, 'a sample far above full scale (1000)'],
  ])('%d is refused with the file and its time', async (sample, what) => {
    const path = withSample('bad.wav', sample)
    const refusal = { name: 'UserError', message: `take 1 has ${what} at 0.500 s`, hint: expect.any(String) }
    await expect(decodeAudio(path, { name: 'take 1' })).rejects.toMatchObject(refusal)
    await expect(measureAudio(path, { name: 'take 1', headSeconds: 0.1 })).rejects.toMatchObject(refusal)
  })

  test('is refused in 64-bit float, which holds more than 32-bit float does', async () => {
    for (const [sample, what] of [
      [Number.NaN, 'a sample that is not a number'],
      [1e300, 'an infinite sample'],
    ] as const) {
      const path = at('double.wav')
      await runFfmpeg([
        '-y',
        '-i',
        writeWav(at('single.wav'), tone(1, { sampleRate: 8000 })),
        '-c:a',
        'pcm_f64le',
        path,
      ])
      const bytes = readFileSync(path)
      bytes.writeDoubleLE(sample, bytes.indexOf('data') + 8 + 2 * 8 * 2000)
      writeFileSync(path, bytes)
      await expect(decodeAudio(path)).rejects.toThrow(`double.wav has ${what} at 0.250 s`)
    }
  })

  test('is not a peak above full scale', async () => {
    expect(peak(await decodeAudio(withSample('loud.wav', 8)))).toBe(8)
    expect(peak(await decodeAudio(withSample('limit.wav', -largestSample)))).toBe(largestSample)
  })

  test('is not noticed after the part that is read', async () => {
    expect(durationOf(await decodeAudio(withSample('later.wav', Number.NaN), { maxSeconds: 0.5 }))).toBe(0.5)
  })
})

describe('reading is refused for', () => {
  test('text in a wav file', async () => {
    writeFileSync(at('text.wav'), 'this is not audio')
    await expect(decodeAudio(at('text.wav'))).rejects.toMatchObject({
      name: 'UserError',
      message: 'text.wav cannot be read as .wav audio',
      hint: expect.stringContaining('export'),
      cause: { message: 'it does not start like such a file' },
    })
  })

  test('a wav file that only its start says it is, with the reason of ffmpeg', async () => {
    writeFileSync(at('start.wav'), 'RIFF, but this is not audio')
    await expect(decodeAudio(at('start.wav'))).rejects.toMatchObject({
      message: 'start.wav cannot be read as .wav audio',
      cause: { message: expect.stringContaining('Invalid data') },
    })
  })

  test('a wav file with a .flac extension', async () => {
    writeFileSync(at('really-wav.flac'), readFileSync(writeWav(at('plain.wav'), tone(0.5))))
    await expect(decodeAudio(at('really-wav.flac'))).rejects.toThrow('really-wav.flac cannot be read as .flac audio')
  })

  test('a playlist that refers to another file', async () => {
    writeFileSync(at('list.wav'), `ffconcat version 1.0\nfile '${writeWav(at('secret.wav'), tone(0.5))}'\n`)
    await expect(decodeAudio(at('list.wav'))).rejects.toThrow('list.wav cannot be read as .wav audio')
  })

  test('a wav file without samples', async () => {
    const path = writeWav(at('nothing.wav'), { sampleRate: 8000, channels: [new Float32Array()] })
    await expect(measureAudio(path, { headSeconds: 1 })).rejects.toThrow('nothing.wav')
  })

  test('a recording longer than an hour', async () => {
    const path = writeWav(at('opera.wav'), { sampleRate: 1000, channels: [new Float32Array(3_600_001)] })
    await expect(measureAudio(path, { headSeconds: 1 })).rejects.toThrow('opera.wav is longer than 60 minutes')
  })

  test.each([
    ['audio-minutes', 'audio-minutes=0.1'],
    ['audio-megasamples', 'audio-megasamples=0.01'],
  ])('a recording over the limit %s, with a value in the hint that is enough', async (name, tooLow) => {
    const path = writeWav(at('long-for-its-limit.wav'), tone(61, { sampleRate: 8000, channels: 1 }))
    const measure = (limit: string) => measureAudio(path, { headSeconds: 1, limits: parseLimits([limit]) })
    const error = await measure(tooLow).catch((error) => error)
    const [, needed] = /--limit (\S+)/.exec(error.hint) ?? []
    expect(needed).toMatch(new RegExp(`^${name}=[12]$`))
    expect((await measure(needed as string)).seconds).toBe(61)
  })

  test('a file without an audio extension', async () => {
    await expect(decodeAudio(at('notes.docx'), { name: 'notes.docx' })).rejects.toThrow(
      'notes.docx is not audio of a known type',
    )
  })
})

describe('what is not the fault of the file', () => {
  const measure = (onSamples: () => void, signal?: AbortSignal) =>
    measureAudio(writeWav(at('fine.wav'), tone(1)), { headSeconds: 0, onSamples, signal })

  test('an error of the receiver of the samples stays as it is', async () => {
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    const receive = () => {
      throw full
    }
    await expect(measure(receive)).rejects.toBe(full)
  })

  test('an aborted signal stops the decoding', async () => {
    const controller = new AbortController()
    await expect(measure(() => controller.abort(), controller.signal)).rejects.toMatchObject({ name: 'Interrupted' })
  })
})
