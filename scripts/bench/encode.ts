/** From fitted clips to latents: the log-mel in JavaScript, the audio VAE's encoder at its released size. */
import { logMel } from '../../src/audio/mel.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import { type Cache, openCache } from '../../src/encode/cache.ts'
import { openClipEncoder } from '../../src/encode/clips.ts'
import { currentBackend } from '../../src/engine/backend.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { medianSpent, peakGigabytes, type Spent, startClock } from './clock.ts'
import { syntheticBase } from './synthetic-base.ts'

export type EncodeBench = { pairs: number; seconds: number }

export type EncodeResult = {
  backend: string
  clips: number
  seconds: number
  total: Spent
  melOfOne: Spent
  /** Mel included. */
  one: Spent
  /** Weights included. */
  first: Spent
  peakRssGigabytes: number
}

const sampleRate = 16_000

export async function benchEncode({ pairs, seconds }: EncodeBench): Promise<EncodeResult> {
  const clips = Array.from({ length: 2 * pairs }, (_, i) => madeUpClip(i, seconds))
  const mels = clips.slice(0, 5).map(melTime)
  const encoder = openClipEncoder(syntheticBase(), forgetful)
  const whole = startClock()
  const each = clips.map((clip) => {
    const one = startClock()
    encoder.encode(clip)
    return one()
  })
  const total = whole()
  encoder.close()
  return {
    backend: currentBackend(),
    clips: clips.length,
    seconds,
    total,
    melOfOne: medianSpent(mels),
    one: medianSpent(each.slice(1)),
    first: each[0] as Spent,
    peakRssGigabytes: peakGigabytes(),
  }
}

const forgetful: Cache = { ...openCache(), get: () => undefined, put: () => undefined }

function madeUpClip(number: number, seconds: number): Waveform {
  const channel = (side: string) =>
    normals(randomFor(1, side, number), seconds * sampleRate).map((value) => 0.1 * value)
  return { sampleRate, channels: [channel('left'), channel('right')] }
}

function melTime(clip: Waveform): Spent {
  const mel = startClock()
  logMel(clip, { sampleRate, nFft: 1024, hop: 160, melBins: 64 })
  return mel()
}
