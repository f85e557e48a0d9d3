/** Audio files through ffmpeg: either as samples, or only measured, which takes no more memory for an hour than for a second. */
import { basename, extname } from 'node:path'
import { limit, raisable } from '../config/limits.ts'
import { UserError } from '../platform/errors.ts'
import { FfmpegTimeout, runFfmpeg } from './ffmpeg.ts'
import { parseWavHeader, type WavFormat } from './wav.ts'
import { deinterleave, highestSample, type Waveform } from './waveform.ts'

/** The demuxer is ours to choose: a file cannot pass for another format, and a playlist cannot pass for a file. */
const demuxers: Record<string, string> = {
  '.wav': 'wav',
  '.mp3': 'mp3',
  '.flac': 'flac',
  '.ogg': 'ogg',
  '.aac': 'aac',
  '.m4a': 'mov',
}

export const audioExtensions: readonly string[] = Object.keys(demuxers)

export type AudioFacts = {
  /** Decoded, not what the header claims. */
  seconds: number
  sampleRate: number
  channelCount: number
  /** Highest absolute sample of the file, and of its first `headSeconds`. */
  peak: number
  headPeak: number
  /** What ffmpeg complained about although it could decode. */
  complaint?: string
}

/**
 * The first audio stream of a file, at its own rate and with all its channels; at most the first `maxSeconds` of it.
 * @param options.name what the file is called in messages, where that is not its path
 * @throws UserError when the file is of an unknown type, cannot be read, holds no sound, or is over a limit.
 */
export async function decodeAudio(
  path: string,
  { maxSeconds, name }: { maxSeconds?: number; name?: string } = {},
): Promise<Waveform> {
  const blocks: Float32Array[] = []
  const { format } = await readSamples({ path, name, maxSeconds }, (block) => blocks.push(block))
  return deinterleave(concatenate(blocks), format.channelCount, format.sampleRate)
}

/** Hears a file while it is decoded: interleaved samples, whole frames at a time. */
export type SampleListener = (block: Float32Array, format: { sampleRate: number; channelCount: number }) => void

/** Decodes a whole file only to measure it; `onSamples` may measure more. Throws as `decodeAudio` does. */
export async function measureAudio(
  path: string,
  { headSeconds, name, onSamples }: { headSeconds: number; name?: string; onSamples?: SampleListener | undefined },
): Promise<AudioFacts> {
  let values = 0
  let [peak, headPeak] = [0, 0]
  const { format, complaint } = await readSamples({ path, name }, (block, { sampleRate, channelCount }) => {
    onSamples?.(block, { sampleRate, channelCount })
    const headValues = Math.floor(headSeconds * sampleRate) * channelCount
    const inHead = Math.max(0, Math.min(block.length, headValues - values))
    headPeak = Math.max(headPeak, highestSample(block.subarray(0, inHead)))
    peak = Math.max(peak, headPeak, highestSample(block.subarray(inHead)))
    values += block.length
  })
  const { sampleRate, channelCount } = format
  return { seconds: values / channelCount / sampleRate, sampleRate, channelCount, peak, headPeak, ...complaint }
}

/** Streams interleaved float32 samples, whole frames at a time. */
async function readSamples(
  {
    path,
    name = basename(path),
    maxSeconds,
  }: { path: string; name?: string | undefined; maxSeconds?: number | undefined },
  onSamples: (block: Float32Array, format: WavFormat) => void,
): Promise<{ format: WavFormat; complaint: { complaint?: string } }> {
  const extension = extname(path).toLowerCase()
  const demuxer = demuxers[extension]
  if (!demuxer)
    throw new UserError(`${name} is not audio of a known type`, { hint: `known are ${audioExtensions.join(' ')}` })

  const longest = limit('audio-minutes') * 60
  const input = [...nothingElse, '-f', demuxer, '-i', `file:${path}`]
  const stream = ['-map', '0:a:0', '-vn', '-map_metadata', '-1', '-t', String(maxSeconds ?? longest + 1)]
  let pending: Uint8Array = new Uint8Array()
  let format: WavFormat | undefined
  let frames = 0
  const onOutput = (bytes: Uint8Array) => {
    pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes])
    if (!format) {
      format = parseWavHeader(pending)
      if (!format) return
      checkFormat(format, name)
      pending = pending.subarray(format.dataStart)
    }
    const frameBytes = format.channelCount * Float32Array.BYTES_PER_ELEMENT
    const whole = pending.length - (pending.length % frameBytes)
    if (whole === 0) return
    const aligned = new Uint8Array(pending.subarray(0, whole)) // a copy: Float32Array starts at multiples of four
    onSamples(new Float32Array(aligned.buffer), format)
    pending = pending.subarray(whole)
    frames += whole / frameBytes
    checkAmount(frames, format, name)
  }
  const complaint = await runFfmpeg([...input, ...stream, ...asFloatWav], { onOutput }).catch((cause) => {
    if (cause instanceof UserError) throw cause // there is no ffmpeg, or the file is over a limit
    if (cause instanceof FfmpegTimeout)
      throw new UserError(`${name} takes more than ${limit('decoding-seconds')} s to decode`, {
        hint: `cut it into shorter files, or ${raisable('decoding-seconds', 2 * limit('decoding-seconds'))}`,
      })
    throw new UserError(`${name} cannot be read as ${extension} audio`, {
      hint: `play it to see whether it is what its name says, then export it as ${extension} again`,
      cause,
    })
  })
  if (!format || frames === 0)
    throw new UserError(`${name} holds no sound`, { hint: 'export it again or leave it out' })
  if (maxSeconds === undefined && frames > longest * format.sampleRate)
    throw new UserError(`${name} is longer than ${longest / 60} minutes`, {
      hint: `cut it into shorter files, or ${raisable('audio-minutes', (2 * longest) / 60)}`,
    })
  return { format, complaint: complaint ? { complaint } : {} }
}

/** No other file, no network, not even where a file of its format may name one. */
const nothingElse = ['-protocol_whitelist', 'file,pipe'] as const

/** A header can claim any rate and any number of channels, and each costs memory and time. */
function checkFormat({ sampleRate, channelCount }: WavFormat, name: string) {
  if (sampleRate > limit('audio-khz') * 1000)
    throw new UserError(`${name} has ${sampleRate} samples per second, more than ${limit('audio-khz')} kHz`, {
      hint: `export it at 48 kHz, or ${raisable('audio-khz', sampleRate / 1000)}`,
    })
  if (channelCount > limit('audio-channels'))
    throw new UserError(`${name} has ${channelCount} channels, more than ${limit('audio-channels')}`, {
      hint: `export it in stereo, or ${raisable('audio-channels', channelCount)}`,
    })
}

/** A few bytes can decode to hours. */
function checkAmount(frames: number, { channelCount }: WavFormat, name: string) {
  if (frames * channelCount <= limit('audio-megasamples') * 1e6) return
  throw new UserError(`${name} decodes to more than ${limit('audio-megasamples')} million samples`, {
    hint: `cut it into shorter files, or ${raisable('audio-megasamples', 2 * limit('audio-megasamples'))}`,
  })
}

/** A wav header tells rate and channels more reliably than ffmpeg's chatter; without `-bitexact` it would carry a comment. */
export const asFloatWav = ['-c:a', 'pcm_f32le', '-bitexact', '-f', 'wav', 'pipe:1'] as const

function concatenate(blocks: Float32Array[]): Float32Array {
  const all = new Float32Array(blocks.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const block of blocks) {
    all.set(block, at)
    at += block.length
  }
  return all
}
