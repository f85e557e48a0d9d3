/** Drum patterns on a grid of sixteenth notes. */
import type { Random } from '../../src/platform/random.ts'
import { biquadFilter } from './filter.ts'
import { phaseOf } from './pitch.ts'
import {
  choose,
  exponentialDecay,
  fromFunction,
  mix,
  mixInto,
  multiply,
  noise,
  type Sound,
  type SoundGenerator,
  silence,
  uniformBetween,
} from './sound.ts'

type Drum = (random: Random) => Sound

/** One row per drum, one character per sixteenth note: x is a stroke, o a soft stroke, a dot a rest. */
type Pattern = { name: string; rows: [Drum, string][] }

const kick: Drum = () => membrane(0.35, 150, 48, 0.28)
const tomHigh: Drum = () => membrane(0.3, 230, 165, 0.3)
const tomLow: Drum = () => membrane(0.4, 150, 95, 0.4)
const snare: Drum = (random) =>
  mix([
    multiply(biquadFilter(noise(random, 0.25), 'highpass', 1400), exponentialDecay(0.25, 0.22)),
    membrane(0.25, 240, 180, 0.12),
  ])
const hat: Drum = (random) =>
  multiply(biquadFilter(noise(random, 0.09), 'highpass', 7000), exponentialDecay(0.09, 0.07))
const openHat: Drum = (random) =>
  multiply(biquadFilter(noise(random, 0.4), 'highpass', 6000), exponentialDecay(0.4, 0.45))
const clap: Drum = (random) =>
  multiply(biquadFilter(noise(random, 0.2), 'bandpass', 1300, 0.9), exponentialDecay(0.2, 0.18))
const woodblock: Drum = () => membrane(0.09, 1150, 1050, 0.08)

const patterns: Pattern[] = [
  {
    name: 'a rock beat',
    rows: [
      [kick, 'x.....x.x.......'],
      [snare, '....x.......x...'],
      [hat, 'x.o.x.o.x.o.x.o.'],
    ],
  },
  {
    name: 'a dance beat',
    rows: [
      [kick, 'x...x...x...x...'],
      [clap, '....x.......x...'],
      [openHat, '..x...x...x...x.'],
    ],
  },
  {
    name: 'a shuffle',
    rows: [
      [kick, 'x.........x.....'],
      [snare, '......x.......x.'],
      [hat, 'x..xx..xx..xx..x'],
    ],
  },
  {
    name: 'a tom roll',
    rows: [
      [tomHigh, 'x.xxx.xx........'],
      [tomLow, '........x.xxxxxx'],
      [kick, 'x.......x.......'],
    ],
  },
  {
    name: 'a woodblock pattern',
    rows: [
      [woodblock, 'x..x..x...x.x...'],
      [hat, '..o...o...o...o.'],
      [kick, 'x.......x.......'],
    ],
  },
  {
    name: 'a broken beat',
    rows: [
      [kick, 'x..x......x..x..'],
      [snare, '....x..x.x..x...'],
      [hat, 'xoxoxoxoxoxoxoxo'],
    ],
  },
]

export const drumPattern: SoundGenerator = (random, seconds) => {
  const beat = choose(random, patterns)
  const tempo = Math.round(uniformBetween(random, 84, 150))
  const sixteenth = 60 / tempo / 4
  const sound = silence(seconds)
  for (const [play, row] of beat.rows)
    for (let step = 0; step * sixteenth < seconds; step++) {
      const stroke = row[step % row.length]
      if (stroke === '.') continue
      const start = Math.max(0, step * sixteenth + uniformBetween(random, -0.004, 0.004))
      mixInto(sound, play(random), start, (stroke === 'x' ? 0.9 : 0.45) * uniformBetween(random, 0.8, 1))
    }
  return {
    description: `drums play ${beat.name}, ${tempo < 105 ? 'slowly' : tempo < 130 ? 'steadily' : 'fast'}`,
    sound,
  }
}

/** A struck membrane: a sine whose pitch drops right after the stroke. */
const membrane = (seconds: number, from: number, to: number, decay: number): Sound => {
  const phase = phaseOf(fromFunction(seconds, (t) => to + (from - to) * Math.exp(-t / 0.03)))
  return multiply(
    phase.map((cycles) => Math.sin(2 * Math.PI * cycles)),
    exponentialDecay(seconds, decay * 2),
  )
}
