/** Waveforms as sound files. The extension of the file decides the format. */
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import type { Limits } from '../config/limits.ts'
import { UserError } from '../platform/errors.ts'
import { makeTempFolder } from '../platform/files.ts'
import { runFfmpeg } from './ffmpeg.ts'
import { encodeWav } from './wav.ts'
import type { Waveform } from './waveform.ts'

/** The arguments of ffmpeg for each format, besides wav. */
const encoders: Readonly<Record<string, readonly string[]>> = {
  '.flac': ['-c:a', 'flac'],
  '.mp3': ['-c:a', 'libmp3lame', '-b:a', '192k'],
  '.ogg': ['-c:a', 'libvorbis', '-q:a', '6'],
  '.opus': ['-c:a', 'libopus', '-b:a', '160k'],
  '.m4a': ['-c:a', 'aac', '-b:a', '192k'],
  '.aac': ['-c:a', 'aac', '-b:a', '192k'],
  '.aiff': ['-c:a', 'pcm_s16be', '-f', 'aiff'],
  '.aif': ['-c:a', 'pcm_s16be', '-f', 'aiff'],
}

const extensions = ['.wav', ...Object.keys(encoders)]

export type SoundEncoder = (waveform: Waveform, limits?: Limits) => Promise<Uint8Array>

/**
 * The encoder for a file, by its extension; a path without one becomes a 16-bit wav file. ffmpeg is tried on a short silence.
 * @param software the program that made the sound, ASCII. It is written into the file where the format allows.
 * @throws UserError for an extension that is no format of sound, and where this ffmpeg cannot write it.
 */
export async function soundEncoder(path: string, software: string): Promise<SoundEncoder> {
  const extension = extname(path).toLowerCase()
  if (extension === '' || extension === '.wav') return async (waveform) => encodeWav(waveform, { software })
  const encoder = encoders[extension]
  if (!encoder)
    throw new UserError(`${path} has the extension ${extension}, which is no known format of sound`, {
      hint: `use one of ${extensions.join(' ')}`,
    })
  const output = [...encoder, '-metadata', `comment=${software}`]
  const encode: SoundEncoder = (waveform, limits) => encodeWithFfmpeg(waveform, extension, output, limits)
  await encode(shortSilence).catch((cause) => {
    if (!lacksEncoder(cause)) throw cause
    throw new UserError(`this ffmpeg cannot write ${extension} files`, {
      hint: 'use .wav or .flac, or set FFMPEG_PATH to another ffmpeg',
      cause,
    })
  })
  return encode
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
