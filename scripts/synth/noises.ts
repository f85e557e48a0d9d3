/** Sounds that are neither voices nor instruments: wind, rain, sweeps. */
import { biquadFilter } from './filter.ts'
import { glidingPitch } from './pitch.ts'
import {
  attackRelease,
  exponentialDecay,
  mixInto,
  multiply,
  noise,
  type SoundGenerator,
  silence,
  uniformBetween,
} from './sound.ts'
import { harmonicTone } from './tone.ts'

/** Gusts: noise through a band-pass filter whose frequency moves, with an attack and a release. */
export const wind: SoundGenerator = (random, seconds) => {
  const gusts = silence(seconds)
  const count = 1 + Math.floor(3 * random.uniform())
  for (let i = 0; i < count; i++) {
    const path = glidingPitch(seconds, uniformBetween(random, 150, 3000), uniformBetween(random, 150, 6000))
    const gust = biquadFilter(noise(random, seconds), 'bandpass', path, uniformBetween(random, 0.7, 6))
    mixInto(
      gusts,
      multiply(gust, attackRelease(seconds, uniformBetween(random, 0.05, 1), uniformBetween(random, 0.05, 1))),
      0,
    )
  }
  return { description: 'wind', sound: gusts }
}

/** Many short bursts of noise, each through a band-pass filter of its own. */
export const rain: SoundGenerator = (random, seconds) => {
  const drops = silence(seconds)
  const count = Math.round(seconds * uniformBetween(random, 3, 40))
  for (let i = 0; i < count; i++) {
    const length = uniformBetween(random, 0.01, 0.12)
    const drop = biquadFilter(
      noise(random, length),
      'bandpass',
      uniformBetween(random, 300, 7000),
      uniformBetween(random, 0.7, 8),
    )
    mixInto(
      drops,
      multiply(drop, exponentialDecay(length, length)),
      random.uniform() * seconds,
      uniformBetween(random, 0.1, 1),
    )
  }
  return { description: 'rain', sound: drops }
}

/** Harmonic tones, bright or dull, that glide from one pitch to another. */
export const sweep: SoundGenerator = (random, seconds) => {
  const sweeps = silence(seconds)
  const count = 1 + Math.floor(3 * random.uniform())
  for (let i = 0; i < count; i++) {
    const length = Math.min(seconds, uniformBetween(random, 0.2, 1.5))
    const [from, to] = [uniformBetween(random, 60, 1500), uniformBetween(random, 60, 1500)]
    const fall = uniformBetween(random, 0.8, 3)
    const tone = harmonicTone(glidingPitch(length, from, to), (k) => k ** -fall)
    mixInto(sweeps, multiply(tone, attackRelease(length, 0.02, 0.05)), random.uniform() * (seconds - length), 0.5)
  }
  return { description: 'a sweep', sound: sweeps }
}
