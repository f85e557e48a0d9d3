/** A drum kit on a grid of sixteenth notes. */
import type { Random } from '../../src/platform/random.ts'
import { filtered } from './filter.ts'
import { phaseOf } from './pitch.ts'
import {
  between,
  choose,
  layOver,
  mixed,
  noise,
  type Player,
  type Sound,
  silence,
  soundOf,
  strike,
  times,
} from './sound.ts'

type Drum = (random: Random) => Sound

/** One row per drum; x is a stroke, o a soft one. */
type Beat = { name: string; rows: [Drum, string][] }

const kick: Drum = () => drop(0.35, 150, 48, 0.28)
const tomHigh: Drum = () => drop(0.3, 230, 165, 0.3)
const tomLow: Drum = () => drop(0.4, 150, 95, 0.4)
const snare: Drum = (random) =>
  mixed([times(filtered(noise(random, 0.25), 'highpass', 1400), strike(0.25, 0.22)), drop(0.25, 240, 180, 0.12)])
const hat: Drum = (random) => times(filtered(noise(random, 0.09), 'highpass', 7000), strike(0.09, 0.07))
const openHat: Drum = (random) => times(filtered(noise(random, 0.4), 'highpass', 6000), strike(0.4, 0.45))
const clap: Drum = (random) => times(filtered(noise(random, 0.2), 'bandpass', 1300, 0.9), strike(0.2, 0.18))
const block: Drum = () => drop(0.09, 1150, 1050, 0.08)

const beats: Beat[] = [
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
      [block, 'x..x..x...x.x...'],
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

export const drum: Player = (random, seconds) => {
  const beat = choose(random, beats)
  const tempo = Math.round(between(random, 84, 150))
  const sixteenth = 60 / tempo / 4
  const sound = silence(seconds)
  for (const [play, row] of beat.rows)
    for (let step = 0; step * sixteenth < seconds; step++) {
      const stroke = row[step % row.length]
      if (stroke === '.') continue
      const human = Math.max(0, step * sixteenth + between(random, -0.004, 0.004))
      layOver(sound, play(random), human, (stroke === 'x' ? 0.9 : 0.45) * between(random, 0.8, 1))
    }
  return { heard: `drums play ${beat.name}, ${tempo < 105 ? 'slowly' : tempo < 130 ? 'steadily' : 'fast'}`, sound }
}

/** A skin: its pitch drops right after the stroke. */
const drop = (seconds: number, from: number, to: number, decay: number): Sound => {
  const phase = phaseOf(soundOf(seconds, (t) => to + (from - to) * Math.exp(-t / 0.03)))
  return times(
    phase.map((turns) => Math.sin(2 * Math.PI * turns)),
    strike(seconds, decay * 2),
  )
}
