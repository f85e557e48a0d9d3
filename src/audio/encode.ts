/** Waveforms as sound files. The extension of the file decides the format. */
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import type { Limits } from '../config/limits.ts'
import { UserError } from '../platform/errors.ts'
import { makeTempFolder } from '../platform/temp-folder.ts'
import { demuxers } from './decode.ts'
import { openFfmpegInput, runFfmpeg } from './ffmpeg.ts'
import { encodeWav } from './wav.ts'
import { interleave, sampleCount, type Waveform } from './waveform.ts'

type Format = {
  /** ffmpeg's muxer. */
  muxer: string
  /** The arguments that choose the encoder. */
  codec: readonly string[]
  /** Those for samples of 24 bits, for formats that preserve samples. */
  codec24?: readonly string[]
  /** The sample rates that it allows, in ascending order; without it, any. */
  rates?: readonly number[]
  /** Its files cannot hold a comment. */
  hasNoComment?: true
}

/** Opus always decodes to 48 kHz, and some versions of ffmpeg shift what has another rate. */
const opusRates = [48_000]
const mp3Rates = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
const aacRates = [...mp3Rates, 64_000, 88_200, 96_000]

const wav: Format = { muxer: 'wav', codec: ['-c:a', 'pcm_s16le'], codec24: ['-c:a', 'pcm_s24le', '-rf64', 'auto'] }
const aiff: Format = { muxer: 'aiff', codec: ['-c:a', 'pcm_s16be'], codec24: ['-c:a', 'pcm_s24be'] }

const formats: Readonly<Record<string, Format>> = {
  '.wav': wav,
  '.flac': { muxer: 'flac', codec: ['-c:a', 'flac'], codec24: ['-c:a', 'flac', '-sample_fmt', 's32'] },
  '.mp3': { muxer: 'mp3', codec: ['-c:a', 'libmp3lame', '-b:a', '192k'], rates: mp3Rates },
  '.ogg': { muxer: 'ogg', codec: ['-c:a', 'libvorbis', '-q:a', '6'] },
  '.opus': { muxer: 'opus', codec: ['-c:a', 'libopus', '-b:a', '160k'], rates: opusRates },
  '.m4a': { muxer: 'ipod', codec: ['-c:a', 'aac', '-b:a', '192k'], rates: aacRates },
  '.aac': { muxer: 'adts', codec: ['-c:a', 'aac', '-b:a', '192k'], rates: aacRates, hasNoComment: true },
  '.aiff': aiff,
  '.aif': aiff,
}

const extensions = Object.keys(formats)

/** The extensions of the sound files that can be written and can hold a comment. */
export const extensionsWithComment: readonly string[] = extensions.filter(
  (extension) => !formats[extension]?.hasNoComment,
)

export type SoundEncoder = (waveform: Waveform, limits?: Limits) => Promise<Uint8Array>

/**
 * The encoder for a file, by its extension; a path without one becomes a 16-bit wav file. ffmpeg is tried on a short silence.
 * @param software the program that made the sound, ASCII. It is written into the file where the format allows.
 * @throws UserError for an extension that is no format of sound, and where this ffmpeg cannot write it.
 */
export async function soundEncoder(path: string, software: string): Promise<SoundEncoder> {
  const extension = extname(path).toLowerCase()
  if (extension === '' || extension === '.wav') return async (waveform) => encodeWav(waveform, { software })
  const format = formatOf(extension, path)
  const output = [...format.codec, '-f', format.muxer, ...comment(software)]
  const encode: SoundEncoder = (waveform, limits) => encodeWithFfmpeg(waveform, extension, output, limits)
  await encode(shortSilence).catch((cause) => {
    throw lacksEncoder(cause) ? cannotWrite(extension, cause) : cause
  })
  return encode
}

/** @throws UserError for a path whose extension is no format of sound that can be written. */
export const requireWritableFormat = (path: string) => void formatOf(extname(path).toLowerCase(), path)

/** The sample rate of the format that is next to a rate: the same, the next higher, or the highest. @param extension in any case. */
export function allowedRate(extension: string, rate: number): number {
  const { rates } = formatOf(extension.toLowerCase())
  if (!rates) return rate
  return rates.find((allowed) => allowed >= rate) ?? (rates.at(-1) as number)
}

function formatOf(extension: string, path = extension): Format {
  const format = formats[extension]
  if (format) return format
  throw new UserError(`${path} has the extension ${extension}, which is no known format of sound`, {
    hint: `use one of ${extensions.join(' ')}`,
  })
}

const cannotWrite = (extension: string, cause: unknown) =>
  new UserError(`this ffmpeg cannot write ${extension} files`, {
    hint: 'use .wav or .flac, or set FFMPEG_PATH to another ffmpeg',
    cause,
  })

const comment = (software: string) => ['-metadata', `comment=${software}`]

/** A sound file that is written piece by piece, so that its length does not matter. */
export type SoundWriter = {
  /** @throws UserError when the file cannot be written. */
  write(piece: Waveform): Promise<void>
  /** Completes the file, and reads it again: ffmpeg does not notice every failure. @throws UserError when it is not complete. */
  finish(): Promise<void>
  /** Stops writing; the file is incomplete. */
  discard(): Promise<void>
}

export type SoundWriterOptions = {
  /** Decides the format, whatever the name of the file. */
  extension: string
  /** Of all pieces; one that `allowedRate` returns. */
  sampleRate: number
  /** As for `soundEncoder`. */
  software: string
  /** What the file is called in messages; the path by default. */
  name?: string
}

/** Starts a stereo sound file. Samples have 24 bits in formats that preserve them. */
export async function openSoundWriter(
  path: string,
  { extension, sampleRate, software, name = path }: SoundWriterOptions,
): Promise<SoundWriter> {
  const { muxer, codec, codec24 } = formatOf(extension)
  const input = ['-f', 'f32le', '-ar', String(sampleRate), '-ac', '2', '-i', 'pipe:0']
  const output = [...(codec24 ?? codec), '-f', muxer, ...comment(software), '-bitexact', path]
  const ffmpeg = await openFfmpegInput([...input, ...output])
  let samples = 0
  const unwritable = (cause: unknown) =>
    lacksEncoder(cause)
      ? cannotWrite(extension, cause)
      : new UserError(`${name} cannot be written`, {
          hint: 'check the free space on the disk',
          cause,
          code: 'machine_error',
        })
  const withReason = (work: Promise<void>) =>
    work.catch((cause) => {
      throw unwritable(cause)
    })
  return {
    write: async (piece) => {
      samples += sampleCount(piece)
      await withReason(ffmpeg.write(new Uint8Array(interleave(piece).buffer)))
    },
    finish: async () => {
      await withReason(ffmpeg.end())
      const written = await countSamples(path, extension).catch((cause) => {
        throw unwritable(cause)
      })
      const missing = samples - written
      if (missing > (codec24 ? 0 : lossyTolerance * sampleRate))
        throw unwritable(new Error(`the file lacks ${missing} of ${samples} samples`))
    },
    discard: ffmpeg.kill,
  }
}

/** In seconds. Decoders of lossy formats may drop a little at the end. */
const lossyTolerance = 0.1

async function countSamples(path: string, extension: string): Promise<number> {
  let bytes = 0
  const onOutput = (block: Uint8Array) => {
    bytes += block.length
  }
  const input = ['-f', demuxers[extension] as string, '-i', `file:${path}`, '-map', '0:a:0']
  await runFfmpeg([...input, '-ac', '2', '-f', 'f32le', 'pipe:1'], { onOutput })
  return bytes / 2 / Float32Array.BYTES_PER_ELEMENT
}

const shortSilence: Waveform = { sampleRate: 48_000, channels: [new Float32Array(4800), new Float32Array(4800)] }

/** Whether ffmpeg failed because it was built without an encoder. */
export const lacksEncoder = (error: unknown) => /encoder/i.test(String(error))

/**
 * @param output the arguments that choose the encoder.
 * @throws Error with ffmpeg's messages.
 */
export async function encodeWithFfmpeg(
  waveform: Waveform,
  extension: string,
  output: readonly string[],
  limits?: Limits,
): Promise<Uint8Array> {
  const folder = await makeTempFolder()
  const path = folder.newFile(extension) // not a pipe: ffmpeg seeks back to write lengths into the header
  try {
    await runFfmpeg(['-f', 'wav', '-i', 'pipe:0', ...output, '-bitexact', path], { input: encodeWav(waveform), limits })
    return await readFile(path)
  } finally {
    await folder.remove()
  }
}
