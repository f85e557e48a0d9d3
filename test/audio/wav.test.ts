import { describe, expect, it, test } from 'vitest'
import { decodeWav, encodeWav, parseWavHeader } from '../../src/audio/wav.ts'
import { deinterleave } from '../../src/audio/waveform.ts'

const mono = (...samples: number[]) => ({ sampleRate: 8000, channels: [Float32Array.from(samples)] })

/** The 16-bit samples of a wav file written by `encodeWav`. */
const integers = (bytes: Uint8Array) => [...new Int16Array(bytes.slice(44).buffer)]

describe('writing', () => {
  test('16-bit samples are clamped, multiplied by 32767 and truncated toward zero', () => {
    expect(integers(encodeWav(mono(0, 1, -1, 2, -7, 0.5, -0.5)))).toEqual([
      0, 32767, -32767, 32767, -32767, 16383, -16383,
    ])
  })

  test('channels are interleaved', () => {
    const stereo = { sampleRate: 8000, channels: [Float32Array.of(1, 1), Float32Array.of(-1, 0)] }
    expect(integers(encodeWav(stereo))).toEqual([32767, -32767, 32767, 0])
  })

  test('float32 samples are preserved exactly', () => {
    const waveform = deinterleave(Float32Array.of(0.1, -1.5, 1e-9, 0.3, 3, -0.7), 3, 48_000)
    expect(decodeWav(encodeWav(waveform, { format: 'float32' }))).toEqual(waveform)
  })
})

describe('the name of the software', () => {
  it.each(['ltx-a2a preview', 'even'])('"%s" follows the samples', (software) => {
    const waveform = mono(0.5, -0.5, 0)
    const bytes = encodeWav(waveform, { software, format: 'float32' })
    expect(decodeWav(bytes)).toEqual(waveform)
    expect(bytes.length % 2).toBe(0)
    expect(Buffer.from(bytes).readUInt32LE(4)).toBe(bytes.length - 8)
    const note = Buffer.from(bytes.subarray(44 + 3 * 4))
    expect(note.subarray(0, 4).toString()).toBe('LIST')
    expect(note.readUInt32LE(4)).toBe(note.length - 8)
    expect(note.subarray(8, 16).toString()).toBe('INFOISFT')
    expect(note.readUInt32LE(16)).toBe(note.length - 20)
    expect(note.subarray(20).toString().replace(/\0+$/, '')).toBe(software)
  })

  it('is left out by default', () => {
    expect(encodeWav(mono(0, 0)).length).toBe(44 + 4)
  })
})

describe('reading', () => {
  const riff = (format: number[], data: number[], extra: number[] = []) =>
    Uint8Array.from([
      ...Buffer.from('RIFF\0\0\0\0WAVE'),
      ...extra,
      ...Buffer.from('fmt '),
      ...[format.length, 0, 0, 0, ...format],
      ...Buffer.from('data'),
      ...[data.length, 0, 0, 0, ...data],
    ])
  const format = (tag: number, bits: number) => [tag & 255, tag >> 8, 1, 0, 0x40, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, bits, 0]

  test('16-, 24- and 32-bit samples are divided by 2^(bits − 1)', () => {
    expect(decodeWav(riff(format(1, 16), [0, 0x80, 0, 0x40]))).toEqual(mono(-1, 0.5))
    expect(decodeWav(riff(format(1, 24), [0, 0, 0x80, 0, 0, 0x40, 0xff, 0xff, 0xff]))).toEqual(
      mono(-1, 0.5, -(2 ** -23)),
    )
    expect(decodeWav(riff(format(1, 32), [0, 0, 0, 0x80, 0, 0, 0, 0x40]))).toEqual(mono(-1, 0.5))
  })

  test('the subformat of an extensible header is used', () => {
    const extension = [22, 0, 16, 0, 0, 0, 0, 0, 1, 0, ...new Array(14).fill(0)]
    expect(decodeWav(riff([...format(0xfffe, 16), ...extension], [0, 0x40]))).toEqual(mono(0.5))
  })

  test('unknown chunks are skipped, including the padding byte of odd sizes', () => {
    const list = [...Buffer.from('LIST'), 3, 0, 0, 0, 1, 2, 3, 0]
    expect(decodeWav(riff(format(1, 16), [0, 0x40], list))).toEqual(mono(0.5))
  })

  test('an incomplete header of any length is not parsed', () => {
    const whole = riff(format(1, 16), [0, 0x40])
    for (let length = 0; length < 44; length++) expect(parseWavHeader(whole.subarray(0, length))).toBeUndefined()
    expect(parseWavHeader(whole)).toMatchObject({ dataStart: 44, dataBytes: 2, sampleRate: 8000, channelCount: 1 })
  })

  test('an unsupported format is named in the error', () => {
    expect(() => decodeWav(riff(format(6, 8), [1]))).toThrow('wav format 6')
    expect(() => decodeWav(riff(format(1, 8), [1]))).toThrow('8 bits')
    expect(() => decodeWav(Buffer.from('not a wav file'))).toThrow('not a RIFF/WAVE file')
  })
})
