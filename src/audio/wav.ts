/** RIFF/WAVE files: parsing the header of a stream from ffmpeg, and reading and writing whole files. `wav-writer.ts` writes them piece by piece. */
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

export type WavSampleFormat = 'pcm16' | 'pcm24' | 'float32'

export const bytesPerSample = (format: WavSampleFormat) => ({ pcm16: 2, pcm24: 3, float32: 4 })[format]

/**
 * Encodes a wav file. `pcm16` clamps to ±1 and truncates x · 32767 toward zero, as the reference does for previews.
 * @param options.software the program that made the sound, ASCII; it follows the samples as a LIST chunk.
 */
export function encodeWav(
  waveform: Waveform,
  { format = 'pcm16', software = '' }: { format?: WavSampleFormat; software?: string } = {},
): Uint8Array {
  const data = encodeSamples(interleave(waveform), format)
  const note = softwareChunk(software)
  const { sampleRate, channels } = waveform
  const header = wavHeader({ sampleRate, channelCount: channels.length }, format, data.length, note.length)
  const bytes = new Uint8Array(header.length + data.length + padding(data.length).length + note.length)
  bytes.set(header)
  bytes.set(data, header.length)
  bytes.set(note, bytes.length - note.length)
  return bytes
}

/**
 * The 44 bytes before the samples.
 * @param dataBytes the length of the samples. After an odd one, a `padding` byte follows.
 * @param noteBytes the length of the chunks behind the samples.
 */
export function wavHeader(
  { sampleRate, channelCount }: { sampleRate: number; channelCount: number },
  format: WavSampleFormat,
  dataBytes: number,
  noteBytes = 0,
): Uint8Array {
  const width = bytesPerSample(format)
  const bytes = new Uint8Array(44)
  const view = new DataView(bytes.buffer)
  writeAscii(bytes, 0, 'RIFF')
  view.setUint32(4, bytes.length - 8 + dataBytes + padding(dataBytes).length + noteBytes, true)
  writeAscii(bytes, 8, 'WAVEfmt ')
  view.setUint32(16, 16, true)
  view.setUint16(20, format === 'float32' ? formatFloat : formatPcm, true)
  view.setUint16(22, channelCount, true)
  view.setUint32(24, sampleRate, true)
  view.setUint32(28, sampleRate * channelCount * width, true)
  view.setUint16(32, channelCount * width, true)
  view.setUint16(34, width * 8, true)
  writeAscii(bytes, 36, 'data')
  view.setUint32(40, dataBytes, true)
  return bytes
}

/** Chunks start at even offsets. */
export const padding = (dataBytes: number) => new Uint8Array(dataBytes & 1)

/** Interleaved samples as bytes. `pcm24` clamps to ±1 and rounds x · 2²³, so that samples of 16 or 24 bits stay as they are. */
export function encodeSamples(samples: Float32Array, format: WavSampleFormat): Uint8Array {
  const width = bytesPerSample(format)
  const bytes = Buffer.alloc(samples.length * width)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const writers: Record<WavSampleFormat, (sample: number, at: number) => void> = {
    pcm16: (sample, at) => view.setInt16(at, Math.trunc(Math.max(-1, Math.min(1, sample)) * 32767), true),
    pcm24: (sample, at) =>
      bytes.writeIntLE(Math.max(-(2 ** 23), Math.min(2 ** 23 - 1, Math.round(sample * 2 ** 23))), at, 3),
    float32: (sample, at) => view.setFloat32(at, sample, true),
  }
  const write = writers[format]
  for (let i = 0; i < samples.length; i++) write(samples[i] as number, i * width)
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
