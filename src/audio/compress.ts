/** Sounds made small for a page, in formats that every browser plays. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runFfmpeg } from './ffmpeg.ts'
import { resample } from './resample.ts'
import { encodeWav } from './wav.ts'
import type { Waveform } from './waveform.ts'

export type CodedSound = { type: 'audio/mpeg' | 'audio/wav'; bytes: Uint8Array }

/** Where ffmpeg was built without an mp3 encoder, this much of a wav is left. */
const lowRate = 16_000

/** @param kilobitsPerSecond 96 is good for stereo, 48 for mono */
export async function compressSound(waveform: Waveform, kilobitsPerSecond: number): Promise<CodedSound> {
  const folder = await mkdtemp(join(tmpdir(), 'ltx-a2a-'))
  const path = join(folder, 'sound.mp3') // in a pipe ffmpeg cannot go back to write the exact length into the first frame
  try {
    await runFfmpeg(
      ['-f', 'wav', '-i', 'pipe:0', '-c:a', 'libmp3lame', '-b:a', `${kilobitsPerSecond}k`, '-bitexact', path],
      {
        input: encodeWav(waveform),
        onOutput: () => {},
      },
    )
    return { type: 'audio/mpeg', bytes: await readFile(path) }
  } catch (error) {
    if (!/encoder/i.test(String(error))) throw error
    const [channel] = resample(waveform, lowRate).channels as [Float32Array]
    return { type: 'audio/wav', bytes: encodeWav({ sampleRate: lowRate, channels: [channel] }) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
