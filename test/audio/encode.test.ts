import { existsSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { decodeAudio } from '../../src/audio/decode.ts'
import { lacksEncoder, openSoundWriter, soundEncoder } from '../../src/audio/encode.ts'
import { decodeWav, encodeWav } from '../../src/audio/wav.ts'
import { durationOf, type Waveform } from '../../src/audio/waveform.ts'
import type { UserError } from '../../src/platform/errors.ts'

const tone: Waveform = {
  sampleRate: 48_000,
  channels: [0.5, 0.25].map((level) =>
    Float32Array.from({ length: 48_000 }, (_, i) => level * Math.sin((2 * Math.PI * 440 * i) / 48_000)),
  ),
}

/** The amplitude of a sine, from the middle half of its samples. */
const levelInTheMiddle = (channel: Float32Array) => {
  const middle = channel.subarray(12_000, 36_000)
  return Math.sqrt((2 * middle.reduce((sum, x) => sum + x * x, 0)) / middle.length)
}

describe('a sound file has the format of its extension: ', () => {
  // [extension, the first bytes, whether samples are exact, seconds that an encoder may add]
  it.each([
    ['wav', 'RIFF', 0],
    ['flac', 'fLaC', 0],
    ['mp3', 'ID3', 0.1],
    ['ogg', 'OggS', 0.05],
    ['m4a', 'ftyp', 0.1],
    ['aac', '\xff\xf1', 0.1],
  ])('%s', async (extension, start, spare) => {
    const path = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-encode-')), `sound.${extension.toUpperCase()}`)
    const encode = await soundEncoder(path, 'ltx-a2a preview')
    const bytes = Buffer.from(await encode(tone))
    expect(bytes.subarray(0, 12).toString('latin1')).toContain(start)
    if (extension !== 'aac') expect(bytes.includes('ltx-a2a preview')).toBe(true) // ADTS has no place for it
    writeFileSync(path, bytes)
    const decoded = await decodeAudio(path)
    expect(decoded.sampleRate).toBe(48_000)
    expect(durationOf(decoded)).toBeGreaterThanOrEqual(0.99)
    expect(durationOf(decoded)).toBeLessThanOrEqual(1 + spare)
    expect(decoded.channels.map(levelInTheMiddle)).toEqual([expect.closeTo(0.5, 1), expect.closeTo(0.25, 1)])
  })
})

it('a path without an extension becomes a wav file', async () => {
  const encode = await soundEncoder('/dev/stdout', 'test')
  expect(decodeWav(await encode(tone)).sampleRate).toBe(48_000)
})

it('an extension that is no format of sound is refused', async () => {
  await expect(soundEncoder('voice.txt', 'test')).rejects.toMatchObject({
    name: 'UserError',
    message: 'voice.txt has the extension .txt, which is no known format of sound',
    hint: expect.stringContaining('.wav .flac .mp3'),
  })
})

it('a missing encoder is recognized', () => {
  expect(lacksEncoder(new Error("Unknown encoder 'libmp3lame'"))).toBe(true)
  expect(lacksEncoder(new Error('Invalid data found when processing input'))).toBe(false)
})

describe('a sound file that is written in pieces', () => {
  const pieces = [0, 12_000, 35_000].map((start, i, starts) => ({
    sampleRate: 48_000,
    channels: tone.channels.map((channel) => channel.subarray(start, starts[i + 1])),
  }))
  const write = async (extension: string) => {
    const path = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-encode-')), `sound${extension}.tmp`)
    const writer = await openSoundWriter(path, { extension, sampleRate: 48_000, software: 'ltx-a2a apply' })
    for (const piece of pieces) await writer.write(piece)
    await writer.finish()
    const bytes = readFileSync(path)
    const named = `${path}${extension}`
    writeFileSync(named, bytes)
    return { bytes, decoded: await decodeAudio(named) }
  }

  it.each(['.wav', '.flac', '.aiff'])('has all samples with 24 bits: %s', async (extension) => {
    const { bytes, decoded } = await write(extension)
    expect(bytes.includes('ltx-a2a apply')).toBe(true)
    decoded.channels.forEach((channel, c) => {
      expect(channel.length).toBe(48_000)
      channel.forEach((sample, i) => {
        expect(Math.abs(sample - (tone.channels[c]?.[i] as number))).toBeLessThan(2 ** -23)
      })
    })
  })

  it.each(['.mp3', '.ogg', '.m4a'])('has the levels of both channels: %s', async (extension) => {
    const { bytes, decoded } = await write(extension)
    expect(bytes.includes('ltx-a2a apply')).toBe(true)
    expect(decoded.channels.map(levelInTheMiddle)).toEqual([expect.closeTo(0.5, 1), expect.closeTo(0.25, 1)])
  })

  it('is refused where ffmpeg does not notice that it is incomplete', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'ltx-a2a-encode-')), 'sound.tmp')
    const writer = await openSoundWriter(path, {
      extension: '.wav',
      sampleRate: 48_000,
      software: 'test',
      name: 'a.wav',
    })
    for (let i = 0; i < 20; i++) await writer.write(tone)
    for (let i = 0; i < 200 && !existsSync(path); i++) await setTimeout(10)
    writeFileSync(
      `${path}.part`,
      encodeWav({ ...tone, channels: tone.channels.map((channel) => channel.slice(0, 99)) }),
    )
    renameSync(`${path}.part`, path) // what ffmpeg writes goes to the removed file
    const error = (await writer.finish().catch((error) => error)) as UserError
    expect([error.message, error.hint]).toEqual(['a.wav cannot be written', 'check the free space on the disk'])
    expect(String(error.cause)).toContain('the file lacks 959901 of 960000 samples')
  })

  it('is refused with the reason of ffmpeg where it cannot be written', async () => {
    const path = join(tmpdir(), 'no such folder', 'sound.wav')
    const writer = await openSoundWriter(path, { extension: '.wav', sampleRate: 48_000, software: 'test' })
    const writing = (async () => {
      for (let i = 0; i < 20; i++) await writer.write(tone)
      await writer.finish()
    })()
    const error = (await writing.catch((error) => error)) as UserError
    expect(error.message).toBe(`${path} cannot be written`)
    expect(String(error.cause)).toContain('No such file')
  })
})
