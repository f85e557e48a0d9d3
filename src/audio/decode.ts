/** Decodes audio files with ffmpeg, either to samples, or only to measure them, which takes no more memory for an hour than for a second. */
import { basename, extname } from 'node:path'
import { defaultLimits, type Limits, raiseLimitHint } from '../config/limits.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { FfmpegTimeout, runFfmpeg, statedSeconds } from './ffmpeg.ts'
import { canBeAudio } from './file-start.ts'
import { parseWavHeader, type WavFormat } from './wav.ts'
import { concatenateSamples, deinterleave, largestSample, peakOf, type Waveform } from './waveform.ts'

type AudioFormat = {
  /** ffmpeg's name. Every ffmpeg since 2018 has these. */
  demuxer: string
  /** The decoder changes samples, so that a clipped peak is no longer flat. */
  isLossy?: true
  /** The hosted trainer accepts it, too. */
  isHosted?: true
}

/** By extension, which decides the demuxer, so that a file cannot pass for another format, nor a playlist for a recording. */
const formats: Readonly<Record<string, AudioFormat>> = {
  '.wav': { demuxer: 'wav', isHosted: true },
  '.mp3': { demuxer: 'mp3', isLossy: true, isHosted: true },
  '.flac': { demuxer: 'flac', isHosted: true },
  '.ogg': { demuxer: 'ogg', isLossy: true, isHosted: true },
  '.aac': { demuxer: 'aac', isLossy: true, isHosted: true },
  '.m4a': { demuxer: 'mov', isLossy: true, isHosted: true }, // it may hold a lossless codec, but rarely does
  '.wave': { demuxer: 'wav' },
  '.aif': { demuxer: 'aiff' },
  '.aiff': { demuxer: 'aiff' },
  '.aifc': { demuxer: 'aiff' },
  '.opus': { demuxer: 'ogg', isLossy: true },
  '.oga': { demuxer: 'ogg', isLossy: true },
  '.wma': { demuxer: 'asf', isLossy: true },
  '.caf': { demuxer: 'caf' },
  '.webm': { demuxer: 'matroska', isLossy: true },
  '.mka': { demuxer: 'matroska', isLossy: true },
  '.mp4': { demuxer: 'mov', isLossy: true },
  '.m4b': { demuxer: 'mov', isLossy: true },
  '.3gp': { demuxer: 'mov', isLossy: true },
  '.mp2': { demuxer: 'mp3', isLossy: true },
  '.wv': { demuxer: 'wv' },
  '.amr': { demuxer: 'amr', isLossy: true },
  '.ape': { demuxer: 'ape' },
  '.tta': { demuxer: 'tta' },
  '.w64': { demuxer: 'w64' },
  '.au': { demuxer: 'au' },
  '.ac3': { demuxer: 'ac3', isLossy: true },
}

const formatOf = (path: string) => formats[extname(path).toLowerCase()]

/** ffmpeg's demuxer for each extension. */
export const demuxers: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(formats).map(([extension, { demuxer }]) => [extension, demuxer]),
)

export const audioExtensions: readonly string[] = Object.keys(formats)

/** Whether the extension of a file is one of these, in any case. */
export const hasAudioExtension = (path: string) => formatOf(path) !== undefined

/** The extensions to recommend: those that the hosted trainer accepts as well. */
export const hostedExtensions = audioExtensions.filter((extension) => formats[extension]?.isHosted)

export const isLossy = (path: string) => formatOf(path)?.isLossy === true

export type DecodeOptions = {
  /** What the file is called in messages; the file name by default. */
  name?: string | undefined
  limits?: Limits | undefined
  /** Stops the decoding. */
  signal?: AbortSignal | undefined
}

/**
 * Decodes the first audio stream of a file, at its own sample rate and with all its channels.
 * @param options.maxSeconds only the first `floor(maxSeconds · sampleRate)` samples are decoded.
 * @throws UserError when the file is of an unknown type, cannot be decoded, has no audio or a sample that is not a usable number, or is over a limit.
 *   Interrupted when the signal is aborted.
 */
export async function decodeAudio(
  path: string,
  { maxSeconds, ...options }: DecodeOptions & { maxSeconds?: number } = {},
): Promise<Waveform> {
  const blocks: Float32Array[] = []
  const { format } = await streamSamples(path, { maxSeconds, ...options }, (block) => blocks.push(block))
  const { channelCount, sampleRate } = format
  const samples = concatenateSamples(blocks)
  const maxSamples = maxSeconds === undefined ? Infinity : Math.floor(maxSeconds * sampleRate) // ffmpeg may round up
  return deinterleave(samples.subarray(0, maxSamples * channelCount), channelCount, sampleRate)
}

export type AudioInfo = {
  /** The decoded length, not that of the header. */
  seconds: number
  sampleRate: number
  channelCount: number
  /** The largest absolute sample of the file, and of its first `headSeconds`. */
  peak: number
  headPeak: number
  /** Warnings that ffmpeg printed although it could decode the file. */
  warnings?: string
}

export type SampleFormat = { sampleRate: number; channelCount: number }

/** Called with interleaved samples while a file is decoded, whole frames at a time. */
export type OnSamples = (block: Float32Array, format: SampleFormat) => void

/**
 * Decodes a whole file to measure it, without keeping its samples.
 * @param options.onSamples receives all samples.
 * @throws as `decodeAudio` does; whatever `onSamples` throws.
 */
export async function measureAudio(
  path: string,
  { headSeconds, onSamples, ...options }: DecodeOptions & { headSeconds: number; onSamples?: OnSamples | undefined },
): Promise<AudioInfo> {
  let values = 0
  let [peak, headPeak] = [0, 0]
  const { format, warnings } = await streamSamples(path, options, (block, { sampleRate, channelCount }) => {
    onSamples?.(block, { sampleRate, channelCount })
    const headValues = Math.floor(headSeconds * sampleRate) * channelCount
    const inHead = Math.max(0, Math.min(block.length, headValues - values))
    headPeak = Math.max(headPeak, peakOf(block.subarray(0, inHead)))
    peak = Math.max(peak, headPeak, peakOf(block.subarray(inHead)))
    values += block.length
  })
  const { sampleRate, channelCount } = format
  const seconds = values / channelCount / sampleRate
  return { seconds, sampleRate, channelCount, peak, headPeak, ...(warnings !== undefined && { warnings }) }
}

/** Streams interleaved float32 samples, whole frames at a time. */
async function streamSamples(
  path: string,
  {
    maxSeconds,
    name = basename(path),
    limits = defaultLimits,
    signal,
  }: DecodeOptions & { maxSeconds?: number | undefined },
  onSamples: (block: Float32Array, format: WavFormat) => void,
): Promise<{ format: WavFormat; warnings: string | undefined }> {
  const extension = extname(path).toLowerCase()
  const { demuxer } = formatOf(path) ?? {}
  if (demuxer === undefined)
    throw new UserError(`${name} is not audio of a known type`, {
      hint: `use one of ${hostedExtensions.join(' ')}`,
      code: 'unsupported_audio_format',
    })

  const unreadable = (cause: unknown) =>
    new UserError(`${name} cannot be read as ${extension} audio`, {
      hint: `play it to check that it is a ${extension} file, then export it again`,
      cause,
      code: 'unsupported_audio_format',
    })
  if (!(await canBeAudio(path, demuxer, name))) throw unreadable(new Error('it does not start like such a file'))

  const longestSeconds = limits['audio-minutes'] * 60
  const input = [...noOtherInput, '-f', demuxer, '-i', `file:${path}`]
  const stream = ['-map', '0:a:0', '-vn', '-map_metadata', '-1', '-t', String(maxSeconds ?? longestSeconds + 1)]
  let pending: Uint8Array = new Uint8Array()
  let wholeFrames: ((bytes: Uint8Array) => Float32Array) | undefined
  let format: WavFormat | undefined
  let frames = 0
  let failure: { error: unknown } | undefined
  const passOn: typeof onSamples = (block, format) => {
    try {
      onSamples(block, format)
    } catch (error) {
      failure = { error } // not the fault of the file
      throw error
    }
  }
  const onOutput = (bytes: Uint8Array) => {
    let piece = bytes
    if (!format || !wholeFrames) {
      pending = Buffer.concat([pending, bytes])
      format = parseWavHeader(pending)
      if (!format) return
      checkFormat(format, name, limits)
      wholeFrames = createFrameJoiner(format.channelCount)
      piece = pending.subarray(format.dataStart)
    }
    const samples = wholeFrames(piece)
    if (samples.length === 0) return
    checkSamples(samples, frames, format, name)
    passOn(samples, format)
    frames += samples.length / format.channelCount
    if (frames * format.channelCount > limits['audio-megasamples'] * 1e6) throw new TooManySamples()
  }
  const warnings = await runFfmpeg([...input, ...stream, ...floatWavOutput], { onOutput, limits, signal }).catch(
    async (cause) => {
      if (failure) throw failure.error
      if (cause instanceof Interrupted) throw cause
      if (cause instanceof TooManySamples && format) throw await tooManySamples(input, format, name, limits)
      if (cause instanceof UserError) throw cause // there is no ffmpeg, or the file is over a limit
      const maxDecodingSeconds = limits['decoding-seconds']
      if (cause instanceof FfmpegTimeout)
        throw new UserError(`${name} takes more than ${maxDecodingSeconds} s to decode`, {
          hint: `cut it into shorter files, or ${raiseLimitHint('decoding-seconds', 2 * maxDecodingSeconds)}`,
        })
      throw unreadable(cause)
    },
  )
  if (!format || frames === 0) throw new UserError(`${name} has no audio`, { hint: 'export it again, or leave it out' })
  if (maxSeconds === undefined && frames > longestSeconds * format.sampleRate) {
    const needed = Math.max(2 * longestSeconds, probedShare * ((await statedSeconds(input)) ?? 0))
    throw new UserError(`${name} is longer than ${longestSeconds / 60} minutes`, {
      hint: `cut it into shorter files, or ${raiseLimitHint('audio-minutes', needed / 60)}`,
    })
  }
  return { format, warnings }
}

/** Joins the pieces of a stream of float32 samples to whole frames. @returns a function that returns those that a piece completes. */
export function createFrameJoiner(channelCount: number): (bytes: Uint8Array) => Float32Array {
  const frameBytes = channelCount * Float32Array.BYTES_PER_ELEMENT
  let pending: Uint8Array = new Uint8Array()
  return (bytes) => {
    const joined = pending.length === 0 ? bytes : Buffer.concat([pending, bytes])
    const wholeBytes = joined.length - (joined.length % frameBytes)
    pending = joined.subarray(wholeBytes)
    return new Float32Array(new Uint8Array(joined.subarray(0, wholeBytes)).buffer) // a copy, because a Float32Array must start at a multiple of four
  }
}

/** ffmpeg opens no other file and no network connection, not even where a format allows a file to name one. */
const noOtherInput = ['-protocol_whitelist', 'file,pipe'] as const

/** A header can claim any sample rate and any number of channels, and each costs memory and time. */
function checkFormat({ sampleRate, channelCount }: WavFormat, name: string, limits: Limits) {
  if (sampleRate > limits['audio-khz'] * 1000)
    throw new UserError(`${name} has a sample rate of ${sampleRate / 1000} kHz, more than ${limits['audio-khz']} kHz`, {
      hint: `export it at 48 kHz, or ${raiseLimitHint('audio-khz', sampleRate / 1000)}`,
    })
  if (channelCount > limits['audio-channels'])
    throw new UserError(`${name} has ${channelCount} channels, more than ${limits['audio-channels']}`, {
      hint: `export it in stereo, or ${raiseLimitHint('audio-channels', channelCount)}`,
    })
}

/** A float format can hold what is no number, and values that make everything else silent. @param start the position of the first frame. */
function checkSamples(samples: Float32Array, start: number, { sampleRate, channelCount }: WavFormat, name: string) {
  const at = samples.findIndex((sample) => !(Math.abs(sample) <= largestSample))
  if (at < 0) return
  const seconds = ((start + Math.floor(at / channelCount)) / sampleRate).toFixed(3)
  throw new UserError(`${name} has ${describeSample(samples[at] as number)} at ${seconds} s`, {
    hint: 'export it again, or cut that place out; full scale is 1 in a float file',
  })
}

function describeSample(sample: number): string {
  if (Number.isNaN(sample)) return 'a sample that is not a number'
  if (!Number.isFinite(sample)) return 'an infinite sample'
  return `a sample far above full scale (${Number(sample.toPrecision(2))})`
}

/** A few bytes can decode to hours. */
class TooManySamples extends Error {}

/** The header of a compressed file may state a length that is a little too short. */
const probedShare = 1.05

async function tooManySamples(
  input: readonly string[],
  { sampleRate, channelCount }: WavFormat,
  name: string,
  limits: Limits,
): Promise<UserError> {
  const megasamples = limits['audio-megasamples']
  const stated = ((await statedSeconds(input)) ?? 0) * sampleRate * channelCount
  return new UserError(`${name} decodes to more than ${megasamples} million samples`, {
    hint: `cut it into shorter files, or ${raiseLimitHint('audio-megasamples', Math.max(2 * megasamples, (probedShare * stated) / 1e6))}`,
  })
}

/** A wav header states sample rate and channels more reliably than ffmpeg's messages. Without `-bitexact` it would contain a comment. */
export const floatWavOutput = ['-c:a', 'pcm_f32le', '-bitexact', '-f', 'wav', 'pipe:1'] as const
