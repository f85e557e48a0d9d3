/** The reverberation of a room: the direct sound, unchanged and at once, followed by decaying noise. */
import type { Random } from '../../platform/random.ts'
import { sum } from '../../platform/statistics.ts'
import { fromDbfs } from '../waveform.ts'
import { createConvolution } from './convolution.ts'
import type { BlockProcessor, SoundLevel } from './stages.ts'

/** @param options.rt60 the time in which the reverberation falls by 60 dB, in seconds. @param options.directDb the power of the direct sound relative to it. */
export function addReverb(random: Random, options: { rt60: number; directDb: number }) {
  return ({ sampleRate, channelCount, frames }: SoundLevel): BlockProcessor => {
    const responses = Array.from({ length: channelCount }, () => impulseResponse(random, sampleRate, options))
    return createConvolution(responses, sampleRate, frames)
  }
}

/** In seconds. The first reflection arrives after the direct sound. */
const firstReflection = 0.003
/** High frequencies die away sooner: the tail is smoothed, by more towards its end. */
const smoothing = 0.85

function impulseResponse(random: Random, sampleRate: number, { rt60, directDb }: { rt60: number; directDb: number }) {
  const length = Math.ceil(rt60 * sampleRate)
  const start = Math.ceil(firstReflection * sampleRate)
  const response = new Float32Array(length)
  let smooth = 0
  for (let i = start; i < length; i++) {
    const share = smoothing * (i / length)
    smooth = share * smooth + (1 - share) * random.normal()
    response[i] = smooth * 10 ** ((-3 * i) / length)
  }
  const scale = Math.sqrt(fromDbfs(-directDb) ** 2 / sum(response.map((x) => x * x)))
  const scaled = response.map((x) => x * scale)
  scaled[0] = 1
  return scaled
}
