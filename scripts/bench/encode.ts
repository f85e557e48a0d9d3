/** `bench encode`: from fitted clips to latents, with the encoder of the audio VAE at the size of the released model. */
import { logMel } from '../../src/audio/mel.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import { type Cache, openCache } from '../../src/encode/cache.ts'
import { openClipEncoder } from '../../src/encode/dataset.ts'
import { currentBackend } from '../../src/engine/backend.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { syntheticBase } from './synthetic-base.ts'
import { type Duration, medianDuration, peakGigabytes, startTimer } from './timing.ts'

export type EncodeBenchOptions = { pairs: number; seconds: number }

export type EncodeResult = {
  backend: string
  clips: number
  seconds: number
  total: Duration
  /** The log-mel spectrogram alone, which is computed in JavaScript. */
  melPerClip: Duration
  /** With the log-mel spectrogram. */
  perClip: Duration
  /** With the log-mel spectrogram and the loading of the weights. */
  firstClip: Duration
  peakRssGigabytes: number
}

const sampleRate = 16_000

export async function benchEncode({ pairs, seconds }: EncodeBenchOptions): Promise<EncodeResult> {
  const clips = Array.from({ length: 2 * pairs }, (_, i) => randomClip(i, seconds))
  const melDurations = clips.slice(0, 5).map(timeLogMel)
  const encoder = openClipEncoder(syntheticBase(), emptyCache)
  const totalTimer = startTimer()
  const clipDurations: Duration[] = []
  for (const clip of clips) {
    const timer = startTimer()
    await encoder.encode(clip)
    clipDurations.push(timer())
  }
  const total = totalTimer()
  encoder.close()
  return {
    backend: currentBackend(),
    clips: clips.length,
    seconds,
    total,
    melPerClip: medianDuration(melDurations),
    perClip: medianDuration(clipDurations.slice(1)),
    firstClip: clipDurations[0] as Duration,
    peakRssGigabytes: peakGigabytes(),
  }
}

/** A cache that never has an entry. */
const emptyCache: Cache = { ...openCache(), get: () => undefined, put: () => undefined }

function randomClip(number: number, seconds: number): Waveform {
  const channel = (side: string) =>
    normals(randomFor(1, side, number), seconds * sampleRate).map((value) => 0.1 * value)
  return { sampleRate, channels: [channel('left'), channel('right')] }
}

function timeLogMel(clip: Waveform): Duration {
  const timer = startTimer()
  logMel(clip, { sampleRate, nFft: 1024, hop: 160, melBins: 64 })
  return timer()
}
