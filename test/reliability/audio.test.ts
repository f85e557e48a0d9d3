import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scriptInputs } from '../../scripts/reliability/formats/script-inputs.ts'
import { decodeAudio, demuxers, measureAudio } from '../../src/audio/decode.ts'
import { findFfmpeg } from '../../src/audio/ffmpeg.ts'
import { decodeWav, encodeWav } from '../../src/audio/wav.ts'
import { parseLimits } from '../../src/config/limits.ts'
import { UserError } from '../../src/platform/errors.ts'
import { convert, tone, writeWav } from '../audio/signals.ts'
import { needs } from '../needs.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
const at = (name: string) => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true }))

function save(name: string, bytes: Uint8Array | string): string {
  writeFileSync(at(name), bytes)
  return at(name)
}

/** One extension for each demuxer. */
const extensions = [...new Map(Object.entries(demuxers).map(([extension, demuxer]) => [demuxer, extension])).values()]

const measure = (path: string, changedLimits: string[] = []) =>
  measureAudio(path, { headSeconds: 1, limits: parseLimits(changedLimits) })

describe('a file that is not audio is refused with its name', () => {
  const wav = Buffer.from(encodeWav(tone(0.1, { channels: 1, sampleRate: 8000 })))
  const changed = (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(wav)
    change(bytes)
    return bytes
  }
  it.each<[what: string, bytes: Uint8Array]>([
    ['an empty file', new Uint8Array()],
    ['a header without samples', wav.subarray(0, 44)],
    ['a truncated header', wav.subarray(0, 20)],
    ['a sample rate of zero', changed((bytes) => bytes.writeUInt32LE(0, 24))],
    ['no channels', changed((bytes) => bytes.writeUInt16LE(0, 22))],
    ['an unknown codec', changed((bytes) => bytes.writeUInt16LE(0x4242, 20))],
    ['a picture', Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')],
    ['a program', readFileSync(process.execPath).subarray(0, 5000)],
  ])('%s', async (what, bytes) => {
    for (const extension of extensions)
      await expect(measure(save(`${what}${extension}`, bytes))).rejects.toMatchObject({
        name: 'UserError',
        message: expect.stringContaining(`${what}${extension}`),
        hint: expect.any(String),
      })
  })

  it('but a wrong length in the header is ignored', async () => {
    for (const claimed of [0xffffffff, 2 ** 31, wav.length * 3]) {
      const path = save(
        'long.wav',
        changed((bytes) => bytes.writeUInt32LE(claimed, 40)),
      )
      expect((await measure(path)).seconds).toBeCloseTo(0.1, 3)
    }
  })
})

describe('a limit', () => {
  it('on channels and on the sample rate is reported with the flag that raises it', async () => {
    const wide = save(
      'wide.wav',
      encodeWav({ sampleRate: 8000, channels: Array.from({ length: 33 }, () => new Float32Array(80)) }),
    )
    await expect(measure(wide)).rejects.toMatchObject({
      message: 'wide.wav has 33 channels, more than 32',
      hint: expect.stringContaining('--limit audio-channels=33'),
    })
    const fast = save('fast.wav', encodeWav({ sampleRate: 1_000_000, channels: [new Float32Array(1000)] }))
    await expect(measure(fast)).rejects.toMatchObject({
      message: 'fast.wav has a sample rate of 1000 kHz, more than 384 kHz',
      hint: expect.stringContaining('--limit audio-khz=1000'),
    })
  })

  it('on the number of decoded samples stops ffmpeg', async () => {
    const silence = { sampleRate: 48_000, channels: [new Float32Array(48_000 * 60), new Float32Array(48_000 * 60)] }
    const path = await convert(writeWav(at('silence.wav'), silence), at('silence.flac'))
    expect(readFileSync(path).length).toBeLessThan(50_000)
    await expect(measure(path, ['audio-megasamples=1'])).rejects.toThrow(
      'silence.flac decodes to more than 1 million samples',
    )
    await expect(measure(path, ['audio-minutes=0.5'])).rejects.toThrow('silence.flac is longer than 0.5 minutes')
  })

  it('on the decoding time stops ffmpeg', async () => {
    const path = writeWav(at('slow.wav'), { sampleRate: 48_000, channels: [new Float32Array(48_000 * 300)] })
    await expect(measure(path, ['decoding-seconds=0.01'])).rejects.toThrow('slow.wav takes more than 0.01 s to decode')
  })
})

describe('a script with the extension of an audio file', () => {
  let server: Server
  let connections = 0
  beforeAll(async () => {
    server = createServer((socket) => {
      connections++
      socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => server.close())

  const forbidden = () => [
    writeWav(at('canary.wav'), tone(0.5)),
    `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.wav`,
  ]

  it('does not make ffmpeg open other files or connections, with any demuxer', async () => {
    for (const script of forbidden().flatMap(scriptInputs))
      for (const extension of extensions)
        await expect(decodeAudio(save(`script${extension}`, script))).rejects.toThrow(`script${extension}`)
    expect(connections).toBe(0)
  })

  it('would make ffmpeg open the other file if the concat demuxer were allowed', async () => {
    const [canary = ''] = forbidden()
    const [script = ''] = scriptInputs(canary)

    const { path } = await findFfmpeg()
    const input = ['-f', 'concat', '-safe', '0', '-i', save('script.txt', script)]
    expect(spawnSync(path, ['-v', 'error', ...input, '-f', 'null', '-']).status).toBe(0)
  })

  const hasStrace = spawnSync('strace', ['-V']).status === 0

  it.skipIf(!hasStrace)(
    'does not make ffmpeg open the canary file or connect, according to strace',
    needs('strace'),
    () => {
      const [canary = ''] = forbidden()
      const files = scriptInputs(canary).flatMap((script, i) =>
        extensions.map((extension) => save(`traced-${i}${extension}`, script)),
      )
      const genuine = writeWav(at('genuine.wav'), tone(0.1))
      const log = at('strace.log')
      const decoder = fileURLToPath(new URL('decode-each.ts', import.meta.url))
      const trace = ['-f', '-e', 'trace=open,openat,connect', '-o', log, process.execPath, '--import', 'tsx', decoder]
      execFileSync('strace', [...trace, genuine, ...files.slice(0, 24)])
      const opened = readFileSync(log, 'utf8')
      expect(opened).toContain('genuine.wav')
      expect(opened).toContain('traced-0.wav')
      expect(opened).not.toContain('canary.wav')
      expect(opened).not.toMatch(/connect\(.*AF_INET/)
    },
  )
})

describe('wav files that were written by this tool', () => {
  it('are read back with the same samples', () => {
    const sample = fc.float({ noNaN: true, min: -1, max: 1 })
    const channel = (length: number) =>
      fc.array(sample, { minLength: length, maxLength: length }).map((values) => Float32Array.from(values))
    const channels = fc
      .tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 50 }))
      .chain(([count, length]) => fc.array(channel(length), { minLength: count, maxLength: count }))
    fc.assert(
      fc.property(channels, fc.integer({ min: 1, max: 384_000 }), (channels, sampleRate) => {
        expect(decodeWav(encodeWav({ sampleRate, channels }, { format: 'float32' }))).toEqual({ sampleRate, channels })
      }),
    )
  })
})

it('an audio file with one changed byte is read or refused, without a crash', async () => {
  const wav = encodeWav(tone(0.05, { channels: 2, sampleRate: 8000 }))
  await fc.assert(
    fc.asyncProperty(fc.nat(60), fc.nat(255), async (position, value) => {
      const bytes = Uint8Array.from(wav)
      bytes[position] = value
      await measure(save('changed.wav', bytes)).catch((error) => expect(error).toBeInstanceOf(UserError))
    }),
    { numRuns: 60 },
  )
})
