/** Test signals and audio files. */
import { writeFileSync } from 'node:fs'
import type { SoundMeasurements } from '../../src/audio/analysis/measurement.ts'
import { runFfmpeg } from '../../src/audio/ffmpeg.ts'
import { encodeWav } from '../../src/audio/wav.ts'
import type { Waveform } from '../../src/audio/waveform.ts'

/** What is measured of a recording without defects. */
export const cleanMeasurements: SoundMeasurements = {
  loudness: -18,
  clippedPlaces: 0,
  silentShare: 0,
  silentStartSeconds: 0,
  silentEndSeconds: 0,
  offset: 0,
  channelsCancel: false,
  silentChannels: [],
}

/** A sine wave per channel; channel c has the frequency `hertz · (c + 1)`. */
export const tone = (
  seconds: number,
  { sampleRate = 44_100, channels = 2, hertz = 440, level = 0.5 } = {},
): Waveform => ({
  sampleRate,
  channels: Array.from({ length: channels }, (_, c) =>
    Float32Array.from(
      { length: Math.round(seconds * sampleRate) },
      (_, i) => level * Math.sin((2 * Math.PI * hertz * (c + 1) * i) / sampleRate),
    ),
  ),
})

export function writeWav(path: string, waveform: Waveform, format: 'pcm16' | 'float32' = 'pcm16'): string {
  writeFileSync(path, encodeWav(waveform, { format }))
  return path
}

const codecs: Record<string, string[]> = {
  ogg: ['-c:a', 'libvorbis'],
  m4a: ['-c:a', 'aac'],
  wave: ['-f', 'wav'],
  aifc: ['-f', 'aiff'],
  mka: ['-c:a', 'pcm_s16le'],
  oga: ['-c:a', 'flac'],
  mp4: ['-c:a', 'aac'],
  '3gp': ['-c:a', 'aac'],
  m4b: ['-c:a', 'aac', '-f', 'mp4'],
}

/** Converts a wav file to the format of the extension of `path`. */
export async function convert(wav: string, path: string): Promise<string> {
  const codec = codecs[path.split('.').at(-1) ?? ''] ?? []
  await runFfmpeg(['-y', '-i', wav, ...codec, path], { onOutput: () => {} })
  return path
}

/** How often a signal rises through zero per second: the pitch of a pure tone. */
export function risesPerSecond(samples: Float32Array, sampleRate: number): number {
  let rises = 0
  for (let i = 1; i < samples.length; i++) if ((samples[i - 1] as number) < 0 && (samples[i] as number) >= 0) rises++
  return (rises * sampleRate) / samples.length
}
