/** RIFF/WAVE files: parsing the header of a stream from ffmpeg, and reading and writing whole files. */
import { deinterleave, interleave, type Waveform } from './waveform.ts'

export type WavFormat = {
  encoding: 'pcm' | 'float'
  bitsPerSample: number
  sampleRate: number
  channelCount: number
  /** Byte offset of the samples. */
  dataStart: number
  /** The length in the header. A stream from a pipe does not know it and states 2³² − 1. */
  dataBytes: number
}

const formatPcm = 1
const formatFloat = 3
/** The actual format is then in the first two bytes of a GUID at the end of the `fmt ` chunk. */
const formatExtensible = 0xfffe

/**
 * Parses a header; undefined when `bytes` end before the samples begin.
 * @throws Error for anything that is not a wav file of PCM or float samples.
 */
export function parseWavHeader(bytes: Uint8Array): WavFormat | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 12) return undefined
  if (ascii(bytes, 0) !== 'RIFF' || ascii(bytes, 8) !== 'WAVE') throw new Error('not a RIFF/WAVE file')
  let format: Omit<WavFormat, 'dataStart' | 'dataBytes'> | undefined
  for (let at = 12; at + 8 <= bytes.length; ) {
    const [id, size] = [ascii(bytes, at), view.getUint32(at + 4, true)]
    const body = at + 8
    if (id === 'data') {
      if (!format) throw new Error('the wav file has its data before its format')
      return { ...format, dataStart: body, dataBytes: size }
    }
    if (id === 'fmt ') {
      if (body + size > bytes.length) return undefined
      format = parseFormat(new DataView(view.buffer, view.byteOffset + body, size))
    }
    at = body + size + (size & 1) // chunks start at even offsets
  }
  return undefined
}

function parseFormat(view: DataView) {
  const tag = view.getUint16(0, true)
  const code = tag === formatExtensible ? view.getUint16(24, true) : tag
  if (code !== formatPcm && code !== formatFloat) throw new Error(`wav format ${code} is neither PCM nor float`)
  return {
    encoding: code === formatFloat ? ('float' as const) : ('pcm' as const),
    channelCount: view.getUint16(2, true),
    sampleRate: view.getUint32(4, true),
    bitsPerSample: view.getUint16(14, true),
  }
}

/** Decodes a whole wav file of 16-, 24- or 32-bit PCM, or of 32-bit float. PCM samples are divided by 2^(bits − 1). @throws Error for any other. */
export function decodeWav(bytes: Uint8Array): Waveform {
  const format = parseWavHeader(bytes)
  if (!format) throw new Error('the wav file has no samples')
  const { encoding, bitsPerSample, channelCount, sampleRate, dataStart, dataBytes } = format
  const data = bytes.subarray(dataStart, dataStart + dataBytes)
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const readers: Record<string, (at: number) => number> = {
    pcm16: (at) => view.getInt16(at, true) / 2 ** 15,
    pcm24: (at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 2 ** 16) / 2 ** 23,
    pcm32: (at) => view.getInt32(at, true) / 2 ** 31,
    float32: (at) => view.getFloat32(at, true),
  }
  const read = readers[`${encoding}${bitsPerSample}`]
  if (!read) throw new Error(`wav samples of ${bitsPerSample} bits (${encoding}) are not supported`)
  const width = bitsPerSample / 8
  const samples = Float32Array.from({ length: Math.floor(data.length / width) }, (_, i) => read(i * width))
  return deinterleave(samples, channelCount, sampleRate)
}

/**
 * Encodes a wav file. `pcm16` clamps to ±1 and truncates x · 32767 toward zero, as the reference does for previews.
 * @param options.software the program that made the sound, ASCII; it follows the samples as a LIST chunk.
 */
export function encodeWav(
  waveform: Waveform,
  { format = 'pcm16', software = '' }: { format?: 'pcm16' | 'float32'; software?: string } = {},
): Uint8Array {
  const samples = interleave(waveform)
  const float = format === 'float32'
  const width = float ? 4 : 2
  const note = softwareChunk(software)
  const bytes = new Uint8Array(44 + samples.length * width + note.length)
  const view = new DataView(bytes.buffer)
  const channelCount = waveform.channels.length
  writeAscii(bytes, 0, 'RIFF')
  view.setUint32(4, bytes.length - 8, true)
  writeAscii(bytes, 8, 'WAVEfmt ')
  view.setUint32(16, 16, true)
  view.setUint16(20, float ? formatFloat : formatPcm, true)
  view.setUint16(22, channelCount, true)
  view.setUint32(24, waveform.sampleRate, true)
  view.setUint32(28, waveform.sampleRate * channelCount * width, true)
  view.setUint16(32, channelCount * width, true)
  view.setUint16(34, width * 8, true)
  writeAscii(bytes, 36, 'data')
  view.setUint32(40, samples.length * width, true)
  samples.forEach((sample, i) => {
    if (float) view.setFloat32(44 + i * 4, sample, true)
    else view.setInt16(44 + i * 2, Math.trunc(Math.max(-1, Math.min(1, sample)) * 32767), true)
  })
  bytes.set(note, bytes.length - note.length)
  return bytes
}

/** `LIST` · `INFO` · `ISFT`: the text ends with NUL characters, so that its length is even. */
function softwareChunk(software: string): Uint8Array {
  if (software === '') return new Uint8Array()
  const text = Buffer.from(software.padEnd(software.length + 2 - (software.length % 2), '\0'), 'latin1')
  const header = Buffer.from('LIST....INFOISFT....', 'latin1')
  header.writeUInt32LE(12 + text.length, 4)
  header.writeUInt32LE(text.length, 16)
  return Buffer.concat([header, text])
}

const ascii = (bytes: Uint8Array, at: number) => String.fromCharCode(...bytes.subarray(at, at + 4))

const writeAscii = (bytes: Uint8Array, at: number, text: string) => bytes.set(Buffer.from(text, 'latin1'), at)
