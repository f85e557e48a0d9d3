import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { decodeWav, encodeWav, type WavSampleFormat } from '../../src/audio/wav.ts'
import { createWavWriter } from '../../src/audio/wav-writer.ts'
import { interleave, type Waveform } from '../../src/audio/waveform.ts'
import { isNoRoom } from '../../src/platform/temp-folder.ts'
import { needs } from '../needs.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-test-'))
const samples = Float32Array.from([0, 2 ** -23, -(2 ** -23), 0.5, 1 - 2 ** -23, -1, 0.25])
const waveform: Waveform = { sampleRate: 44_100, channels: [samples] }

test.each<WavSampleFormat>(['pcm16', 'pcm24', 'float32'])('%s in blocks gives the bytes of the whole', (format) => {
  const path = join(folder, `${format}.wav`)
  const writer = createWavWriter(path, { sampleRate: 44_100, channelCount: 1 }, format)
  writer.write(interleave(waveform).subarray(0, 3))
  writer.write(interleave(waveform).subarray(3))
  writer.close()
  expect(readFileSync(path).equals(encodeWav(waveform, { format }))).toBe(true)
})

test('24 bits keep samples of 24 bits exactly, clamp others, and end at an even length', () => {
  const bytes = encodeWav(waveform, { format: 'pcm24' })
  expect(decodeWav(bytes)).toEqual(waveform)
  expect(bytes.length).toBe(44 + 21 + 1)
  expect(Buffer.from(bytes).readUInt32LE(4)).toBe(bytes.length - 8)
  const loud = { sampleRate: 8000, channels: [Float32Array.from([1.5, -1.5])] }
  expect([...(decodeWav(encodeWav(loud, { format: 'pcm24' })).channels[0] as Float32Array)]).toEqual([1 - 2 ** -23, -1])
})

test.skipIf(!existsSync('/dev/full'))('a full disk is named', needs('/dev/full, a device without room'), () => {
  const writer = createWavWriter('/dev/full', { sampleRate: 44_100, channelCount: 1 }, 'float32')
  let error: unknown
  try {
    writer.write(samples)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({ name: 'UserError', message: `there is no room for temporary files in ${tmpdir()}` })
  expect(isNoRoom(error)).toBe(true)
})
