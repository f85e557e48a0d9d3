/** Noise and crackle. Everything is drawn in the order of the samples, so it does not depend on the size of the blocks. */
import type { Random } from '../../platform/random.ts'
import { fromDbfs } from '../waveform.ts'
import type { BlockProcessor, SoundLevel } from './stages.ts'

export const noiseColors = ['white', 'pink', 'brown'] as const

export type NoiseColor = (typeof noiseColors)[number]

/** Adds noise that is `snrDb` below the power of the whole recording, different in each channel. */
export function addNoise(random: Random, { color, snrDb }: { color: NoiseColor; snrDb: number }) {
  return ({ rms, channelCount }: SoundLevel): BlockProcessor => {
    const filters = Array.from({ length: channelCount }, () => colorFilter(color))
    const level = (rms * fromDbfs(-snrDb)) / Math.sqrt(gainPower(color))
    return {
      add: (block) => block.map((sample, i) => sample + level * (filters[i % channelCount] as Filter)(random.normal())),
    }
  }
}

type Filter = (sample: number) => number

/** Pink is the filter of Paul Kellet, within 0.05 dB of −3 dB per octave above 10 Hz at 44.1 kHz; brown is a leaky integrator. */
function colorFilter(color: NoiseColor): Filter {
  if (color === 'white') return (x) => x
  if (color === 'brown') {
    let sum = 0
    return (x) => {
      sum = 0.998 * sum + x
      return sum
    }
  }
  const poles = [0.99886, 0.99332, 0.969, 0.8665, 0.55, -0.7616]
  const gains = [0.0555179, 0.0750759, 0.153852, 0.3104856, 0.5329522, -0.016898]
  const states = poles.map(() => 0)
  let before = 0
  return (x) => {
    let sum = before + 0.5362 * x
    for (let i = 0; i < poles.length; i++) {
      const state = (poles[i] as number) * (states[i] as number) + (gains[i] as number) * x
      states[i] = state
      sum += state
    }
    before = 0.115926 * x
    return sum
  }
}

/** The power of the filtered noise: that of the impulse response, which has died away after this many samples. */
const responseLength = 20_000

function gainPower(color: NoiseColor): number {
  const filter = colorFilter(color)
  let power = 0
  for (let i = 0; i < responseLength; i++) power += filter(i === 0 ? 1 : 0) ** 2
  return power
}

/** In seconds: how fast a click dies away. */
const clickSeconds = 0.0004

/** Adds clicks at random times, the same in each channel. @param options.levelDb of the loudest ones, relative to the peak of the recording. */
export function addCrackle(random: Random, { perSecond, levelDb }: { perSecond: number; levelDb: number }) {
  return ({ peak, sampleRate, channelCount }: SoundLevel): BlockProcessor => {
    const highest = peak * fromDbfs(levelDb)
    const decay = Math.exp(-1 / (clickSeconds * sampleRate))
    const nextGap = () => (-Math.log(1 - random.uniform()) / perSecond) * sampleRate
    let [gap, amplitude] = [nextGap(), 0]
    const nextFrame = () => {
      amplitude *= decay
      if (--gap <= 0) {
        gap += nextGap()
        amplitude = highest * random.uniform() ** 2 // most clicks are faint
      }
      return amplitude > 1e-7 ? amplitude * (2 * random.uniform() - 1) : 0
    }
    let click = 0
    return {
      add: (block) =>
        block.map((sample, i) => {
          if (i % channelCount === 0) click = nextFrame()
          return sample + click
        }),
    }
  }
}
