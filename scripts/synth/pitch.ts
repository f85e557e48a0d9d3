/** Notes of a scale, and pitches that change over time. */
import type { Random } from '../../src/platform/random.ts'
import { choose, fromFunction, type Sound, sampleRate, uniformBetween } from './sound.ts'

/** The frequency of a note. @param semitones above A at 220 Hz. */
export const semitonesToHertz = (semitones: number) => 220 * 2 ** (semitones / 12)

const scales = {
  major: [0, 2, 4, 5, 7, 9, 11],
  minor: [0, 2, 3, 5, 7, 8, 10],
  pentatonic: [0, 2, 4, 7, 9],
}

/** A random scale and root. @returns a function from a degree of the scale, in any octave, to semitones above A at 220 Hz. */
export function randomScale(random: Random) {
  const scale = scales[choose(random, ['major', 'minor', 'pentatonic'] as const)]
  const root = Math.floor(uniformBetween(random, -5, 7))
  return (degree: number) => {
    const octave = Math.floor(degree / scale.length)
    return root + 12 * octave + (scale[degree - octave * scale.length] as number)
  }
}

export type Direction = 'rising' | 'falling' | 'wandering'
export const directions: readonly Direction[] = ['rising', 'falling', 'wandering']

/** A sequence of scale degrees in one direction. Melodies of up to five notes also have leaps; longer ones move by steps. */
export function melody(random: Random, count: number, direction: Direction): number[] {
  const leaps = count <= 5 ? [1, 2] : [1]
  const signs = { rising: [1], falling: [-1], wandering: [-1, 1] }[direction]
  const degrees = [direction === 'falling' ? 7 : 0]
  while (degrees.length < count)
    degrees.push((degrees.at(-1) as number) + choose(random, signs) * choose(random, leaps))
  return degrees
}

/** A pitch that glides from one frequency to another. @param vibrato its depth as a share of the frequency; it starts after 0.15 s. */
export function glidingPitch(seconds: number, from: number, to: number, vibrato = 0): Sound {
  const rate = 5.6
  return fromFunction(seconds, (t) => {
    const progress = t / seconds
    const smooth = progress * progress * (3 - 2 * progress)
    const depth = vibrato * Math.min(1, Math.max(0, t - 0.15) / 0.3)
    return from * (to / from) ** smooth * (1 + depth * Math.sin(2 * Math.PI * rate * t))
  })
}

/** The phase of an oscillator with this pitch, in cycles: the running sum of frequency / sample rate. */
export function phaseOf(pitch: Sound): Sound {
  let cycles = 0
  return pitch.map((frequency) => {
    cycles += frequency / sampleRate
    return cycles
  })
}
