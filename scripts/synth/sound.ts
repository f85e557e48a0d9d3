/** Synthesised sound: mono samples at one rate, and how they are laid over one another. */
import type { Random } from '../../src/platform/random.ts'

export const sampleRate = 48_000

export type Sound = Float64Array

/** What was played, in words for a caption, and how it sounds. */
export type GeneratedSound = { description: string; sound: Sound }

/** Somebody who plays something of a given length, another thing for each random source. */
export type SoundGenerator = (random: Random, seconds: number) => GeneratedSound

export const silence = (seconds: number): Sound => new Float64Array(Math.round(seconds * sampleRate))

/** A sound from a function of time in seconds. */
export const fromFunction = (seconds: number, at: (time: number, i: number) => number): Sound =>
  silence(seconds).map((_, i) => at(i / sampleRate, i))

/** Lays `sound` over `ground` from `start` on; what goes beyond the end is lost. */
export function mixInto(ground: Sound, sound: Sound, start: number, gain = 1) {
  const first = Math.round(start * sampleRate)
  const count = Math.min(sound.length, ground.length - first)
  for (let i = 0; i < count; i++) ground[first + i] = (ground[first + i] as number) + gain * (sound[i] as number)
}

/** Sounds of one length, played together. */
export const mix = (sounds: readonly Sound[]): Sound =>
  (sounds[0] as Sound).map((_, i) => sounds.reduce((sum, sound) => sum + (sound[i] as number), 0))

/** Product of two sounds, sample by sample. */
export const multiply = (a: Sound, b: Sound): Sound => a.map((x, i) => x * (b[i] as number))

/** Scaled so that its loudest sample is `peak`. */
export function scaleToPeak(sound: Sound, peak: number): Sound {
  const loudest = sound.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9)
  return sound.map((x) => (x * peak) / loudest)
}

/** White noise. */
export const noise = (random: Random, seconds: number): Sound => fromFunction(seconds, () => 2 * random.uniform() - 1)

/** Rises in `attack` seconds, falls in the last `release` ones. */
export const attackRelease = (seconds: number, attack: number, release: number): Sound =>
  fromFunction(seconds, (t) => Math.sin((Math.PI / 2) * Math.min(1, t / attack, Math.max(0, seconds - t) / release)) ** 2)

/** Dies away, to a thousandth in `decay` seconds; a short rise avoids the click. */
export const exponentialDecay = (seconds: number, decay: number): Sound =>
  fromFunction(seconds, (t) => Math.min(1, t / 0.002) * 10 ** ((-3 * t) / decay))

export const choose = <T>(random: Random, from: readonly T[]): T =>
  from[Math.floor(random.uniform() * from.length)] as T

export const uniformBetween = (random: Random, low: number, high: number) => low + (high - low) * random.uniform()
