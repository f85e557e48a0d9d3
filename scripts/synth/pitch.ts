/** Pitches: notes of a scale, and pitch that moves. */
import type { Random } from '../../src/platform/random.ts'
import { uniformBetween, choose, type Sound, sampleRate, fromFunction } from './sound.ts'

/** Hertz of a note so many semitones above A at 220 Hz. */
export const semitonesToHertz = (semitones: number) => 220 * 2 ** (semitones / 12)

const scales = {
  major: [0, 2, 4, 5, 7, 9, 11],
  minor: [0, 2, 3, 5, 7, 8, 10],
  pentatonic: [0, 2, 4, 7, 9],
}

/** A key to play in: `note(degree)` is the semitone of the degree-th step, through all octaves. */
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

/** So many scale degrees in a row that go where they are told: short melodies also by leaps, long ones by steps. */
export function melody(random: Random, count: number, direction: Direction): number[] {
  const leaps = count <= 5 ? [1, 2] : [1]
  const signs = { rising: [1], falling: [-1], wandering: [-1, 1] }[direction]
  const degrees = [direction === 'falling' ? 7 : 0]
  while (degrees.length < count)
    degrees.push((degrees.at(-1) as number) + choose(random, signs) * choose(random, leaps))
  return degrees
}

/** A pitch that glides from one frequency to another and, after a while, begins to tremble. */
export function glidingPitch(seconds: number, from: number, to: number, vibrato = 0): Sound {
  const rate = 5.6
  return fromFunction(seconds, (t) => {
    const way = t / seconds
    const smooth = way * way * (3 - 2 * way)
    const depth = vibrato * Math.min(1, Math.max(0, t - 0.15) / 0.3)
    return from * (to / from) ** smooth * (1 + depth * Math.sin(2 * Math.PI * rate * t))
  })
}

/** Turns per sample, summed: the phase of an oscillator that follows this pitch. */
export function phaseOf(pitch: Sound): Sound {
  let turns = 0
  return pitch.map((frequency) => {
    turns += frequency / sampleRate
    return turns
  })
}
