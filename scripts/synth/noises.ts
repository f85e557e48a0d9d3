/** Sounds without a source one could name: wind, rain, sweeps. */
import { filtered } from './filter.ts'
import { glide } from './pitch.ts'
import { between, layOver, noise, type Player, silence, strike, swell, times } from './sound.ts'
import { harmonicTone } from './tone.ts'

/** Noise through a resonance that wanders, swelling and falling. */
export const wind: Player = (random, seconds) => {
  const gusts = silence(seconds)
  const count = 1 + Math.floor(3 * random.uniform())
  for (let i = 0; i < count; i++) {
    const path = glide(seconds, between(random, 150, 3000), between(random, 150, 6000))
    const gust = filtered(noise(random, seconds), 'bandpass', path, between(random, 0.7, 6))
    layOver(gusts, times(gust, swell(seconds, between(random, 0.05, 1), between(random, 0.05, 1))), 0)
  }
  return { heard: 'wind', sound: gusts }
}

/** Many short bursts of noise, each with its own colour. */
export const rain: Player = (random, seconds) => {
  const drops = silence(seconds)
  const count = Math.round(seconds * between(random, 3, 40))
  for (let i = 0; i < count; i++) {
    const length = between(random, 0.01, 0.12)
    const drop = filtered(noise(random, length), 'bandpass', between(random, 300, 7000), between(random, 0.7, 8))
    layOver(drops, times(drop, strike(length, length)), random.uniform() * seconds, between(random, 0.1, 1))
  }
  return { heard: 'rain', sound: drops }
}

/** Tones with few or many overtones that slide from one pitch to another. */
export const sweep: Player = (random, seconds) => {
  const sweeps = silence(seconds)
  const count = 1 + Math.floor(3 * random.uniform())
  for (let i = 0; i < count; i++) {
    const length = Math.min(seconds, between(random, 0.2, 1.5))
    const [from, to] = [between(random, 60, 1500), between(random, 60, 1500)]
    const fall = between(random, 0.8, 3)
    const tone = harmonicTone(glide(length, from, to), (k) => k ** -fall)
    layOver(sweeps, times(tone, swell(length, 0.02, 0.05)), random.uniform() * (seconds - length), 0.5)
  }
  return { heard: 'a sweep', sound: sweeps }
}
