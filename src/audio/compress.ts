/** Sounds as small files for a page, in formats that every browser plays. */
import { readFile } from 'node:fs/promises'
import type { Limits } from '../config/limits.ts'
import { makeTempFolder } from '../platform/files.ts'
import { runFfmpeg } from './ffmpeg.ts'
import { resample } from './resample.ts'
import { encodeWav } from './wav.ts'
import type { Waveform } from './waveform.ts'

export type CompressedAudio = { type: 'audio/mpeg' | 'audio/wav'; bytes: Uint8Array }

/** The sample rate of the wav file that replaces an mp3 file, in Hz. */
const fallbackSampleRate = 16_000

/**
 * Encodes a waveform as mp3; as a wav file of its first channel at 16 kHz where ffmpeg was built without an mp3 encoder.
 * @param kilobitsPerSecond 96 is good for stereo, 48 for mono
 */
export async function compressAudio(
  waveform: Waveform,
  kilobitsPerSecond: number,
  { limits }: { limits?: Limits } = {},
): Promise<CompressedAudio> {
  const folder = await makeTempFolder()
  const path = folder.newFile('.mp3') // not a pipe: ffmpeg seeks back to write the exact length into the first frame
  const output = ['-c:a', 'libmp3lame', '-b:a', `${kilobitsPerSecond}k`, '-bitexact', path]
  try {
    await runFfmpeg(['-f', 'wav', '-i', 'pipe:0', ...output], { input: encodeWav(waveform), limits })
    return { type: 'audio/mpeg', bytes: await readFile(path) }
  } catch (error) {
    if (!/encoder/i.test(String(error))) throw error
    const [channel] = resample(waveform, fallbackSampleRate).channels as [Float32Array]
    return { type: 'audio/wav', bytes: encodeWav({ sampleRate: fallbackSampleRate, channels: [channel] }) }
  } finally {
    await folder.remove()
  }
}
