/** Struck metal and wood: inharmonic partials, each with a decay of its own. */
import type { Random } from '../../src/platform/random.ts'
import { directions, melody, randomScale, semitonesToHertz } from './pitch.ts'
import {
  choose,
  exponentialDecay,
  fromFunction,
  mixInto,
  multiply,
  type Sound,
  type SoundGenerator,
  silence,
  uniformBetween,
} from './sound.ts'

/** A partial: its frequency as a multiple of the nominal one, its gain, and its decay in seconds. */
type Partial = { ratio: number; gain: number; decay: number }

const churchBell: Partial[] = [
  { ratio: 0.5, gain: 0.6, decay: 6 },
  { ratio: 1, gain: 0.7, decay: 4 },
  { ratio: 1.19, gain: 0.6, decay: 3 },
  { ratio: 1.5, gain: 0.3, decay: 2.5 },
  { ratio: 2, gain: 0.8, decay: 2 },
  { ratio: 2.52, gain: 0.3, decay: 1.2 },
  { ratio: 3.01, gain: 0.3, decay: 0.9 },
  { ratio: 4.17, gain: 0.2, decay: 0.5 },
  { ratio: 5.43, gain: 0.15, decay: 0.4 },
]
const glockenspiel: Partial[] = [
  { ratio: 1, gain: 1, decay: 1.6 },
  { ratio: 2.76, gain: 0.4, decay: 0.7 },
  { ratio: 5.4, gain: 0.25, decay: 0.3 },
]
const marimba: Partial[] = [
  { ratio: 1, gain: 1, decay: 0.7 },
  { ratio: 3.93, gain: 0.35, decay: 0.15 },
  { ratio: 9.6, gain: 0.12, decay: 0.06 },
]

/** One to three slow strokes of a large bell. */
export const bellStrokes: SoundGenerator = (random, seconds) => {
  const strokes = 1 + Math.floor(3 * random.uniform())
  const frequency = uniformBetween(random, 180, 420)
  const sound = silence(seconds)
  for (let i = 0; i < strokes; i++)
    mixInto(sound, struckTone(random, churchBell, frequency, seconds), (i * seconds) / strokes)
  return { description: `a large bell is struck ${['once', 'twice', 'three times'][strokes - 1]}`, sound }
}

export const glockenspielMelody: SoundGenerator = (random, seconds) =>
  melodyOf(random, seconds, 'a glockenspiel', glockenspiel, 24)
export const marimbaMelody: SoundGenerator = (random, seconds) => melodyOf(random, seconds, 'a marimba', marimba, 0)

function melodyOf(random: Random, seconds: number, name: string, partials: Partial[], transpose: number) {
  const direction = choose(random, directions)
  const count = Math.round(seconds * uniformBetween(random, 2.5, 5.5))
  const note = randomScale(random)
  const sound = silence(seconds)
  let start = 0
  melody(random, count, direction).forEach((degree) => {
    mixInto(
      sound,
      struckTone(random, partials, semitonesToHertz(note(degree) + transpose), 2),
      start,
      uniformBetween(random, 0.5, 1),
    )
    start += ((seconds * 0.95) / count) * choose(random, [0.75, 1, 1, 1.25])
  })
  return { description: `${name} plays ${count} ${direction} notes`, sound }
}

function struckTone(random: Random, partials: Partial[], frequency: number, seconds: number): Sound {
  const sound = silence(seconds)
  for (const { ratio, gain, decay } of partials) {
    const [phase, detune] = [random.uniform(), uniformBetween(random, 0.999, 1.001)]
    if (frequency * ratio > 16_000) continue
    const sine = fromFunction(seconds, (t) => Math.sin(2 * Math.PI * (frequency * ratio * detune * t + phase)))
    mixInto(sound, multiply(sine, exponentialDecay(seconds, decay)), 0, gain)
  }
  return sound
}
