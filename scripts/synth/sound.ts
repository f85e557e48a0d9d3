/** Synthesized sound: mono samples at 48 kHz, and the operations that sounds are built from. */
import type { Random } from '../../src/platform/random.ts'

export const sampleRate = 48_000

export type Sound = Float64Array

/** A sound, with a description for its caption. */
export type GeneratedSound = { description: string; sound: Sound }

/** Generates a random sound of the given length. The same random source gives the same sound. */
export type SoundGenerator = (random: Random, seconds: number) => GeneratedSound

export const silence = (seconds: number): Sound => new Float64Array(Math.round(seconds * sampleRate))

/** A sound from a function of time in seconds. */
export const fromFunction = (seconds: number, at: (time: number, i: number) => number): Sound =>
  silence(seconds).map((_, i) => at(i / sampleRate, i))

/** Adds `sound` to `target`, beginning at `start` seconds. What lies beyond the end of the target is discarded. */
export function mixInto(target: Sound, sound: Sound, start: number, gain = 1) {
  const first = Math.round(start * sampleRate)
  const count = Math.min(sound.length, target.length - first)
  for (let i = 0; i < count; i++) target[first + i] = (target[first + i] as number) + gain * (sound[i] as number)
}

/** The sum of sounds of equal length. */
export const mix = (sounds: readonly Sound[]): Sound =>
  (sounds[0] as Sound).map((_, i) => sounds.reduce((sum, sound) => sum + (sound[i] as number), 0))

/** The product of two sounds, sample by sample. */
export const multiply = (a: Sound, b: Sound): Sound => a.map((x, i) => x * (b[i] as number))

/** Scaled so that its loudest sample is `peak`. */
export function scaleToPeak(sound: Sound, peak: number): Sound {
  const loudest = sound.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9)
  return sound.map((x) => (x * peak) / loudest)
}

/** White noise. */
export const noise = (random: Random, seconds: number): Sound => fromFunction(seconds, () => 2 * random.uniform() - 1)

/** An envelope that rises from 0 to 1 in the first `attack` seconds and falls to 0 in the last `release` seconds. */
export const attackRelease = (seconds: number, attack: number, release: number): Sound =>
  fromFunction(
    seconds,
    (t) => Math.sin((Math.PI / 2) * Math.min(1, t / attack, Math.max(0, seconds - t) / release)) ** 2,
  )

/** An envelope that falls to a thousandth in `decay` seconds. It rises in the first 2 ms, to avoid a click. */
export const exponentialDecay = (seconds: number, decay: number): Sound =>
  fromFunction(seconds, (t) => Math.min(1, t / 0.002) * 10 ** ((-3 * t) / decay))

/** A random element. */
export const choose = <T>(random: Random, from: readonly T[]): T =>
  from[Math.floor(random.uniform() * from.length)] as T

/** A uniform random number from `low` to `high`. */
export const uniformBetween = (random: Random, low: number, high: number) => low + (high - low) * random.uniform()
