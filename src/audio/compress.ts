/** Sounds as small files for a page, in formats that every browser plays. */
import type { Limits } from '../config/limits.ts'
import { toMono } from './analysis/channels.ts'
import { encodeWithFfmpeg, lacksEncoder } from './encode.ts'
import { encodeWav } from './wav.ts'
import type { Waveform } from './waveform.ts'

export type CompressedAudio = { type: 'audio/mpeg' | 'audio/wav'; bytes: Uint8Array }

/**
 * Encodes a waveform as mp3; as a wav file with one channel at 16 kHz where ffmpeg was built without an mp3 encoder.
 * @param kilobitsPerSecond 96 is good for stereo, 48 for mono
 */
export async function compressAudio(
  waveform: Waveform,
  kilobitsPerSecond: number,
  { limits }: { limits?: Limits } = {},
): Promise<CompressedAudio> {
  const output = ['-c:a', 'libmp3lame', '-b:a', `${kilobitsPerSecond}k`]
  try {
    return { type: 'audio/mpeg', bytes: await encodeWithFfmpeg(waveform, '.mp3', output, limits) }
  } catch (error) {
    if (!lacksEncoder(error)) throw error
    return { type: 'audio/wav', bytes: encodeWav(toMono(waveform)) }
  }
}
