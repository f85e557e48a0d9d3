/**
 * What can be done to a sound: changes that a caption names, and devices with names of their own, which the base learns by heart. None of them is a
 * radio: a device keeps the bass or the treble.
 */
import { type Random, randomFor } from '../../src/platform/random.ts'
import { biquadFilter } from '../synth/filter.ts'
import { choose, type Sound, uniformBetween } from '../synth/sound.ts'
import { modelRate as rate } from './corpus.ts'

/** One channel in, one out, of one length. `random` is the same for both channels of a sound, but for noise. */
export type Change = { caption: string; apply(sound: Sound, random: Random): Sound }

const deviceSeed = 11
export const deviceCount = 64

/** A change drawn from all of them; half are devices. */
export const drawChange = (random: Random): Change =>
  random.uniform() < 0.55 ? device(Math.floor(random.uniform() * deviceCount)) : choose(random, named)(random)

/** Always the same for the same number. */
export function device(number: number): Change {
  const random = randomFor(deviceSeed, 'device', number)
  const steps: ((sound: Sound, random: Random) => Sound)[] = [colour(random)]
  if (random.uniform() < 0.5) steps.push(drive(uniformBetween(random, 2, 12)))
  if (random.uniform() < 0.4)
    steps.push(
      random.uniform() < 0.5
        ? edge('lowpass', uniformBetween(random, 1200, 6000))
        : edge('highpass', uniformBetween(random, 120, 1200)),
    )
  if (random.uniform() < 0.25) steps.push(room(uniformBetween(random, 0.2, 0.7), 0.5))
  if (random.uniform() < 0.4) steps.push(hiss(uniformBetween(random, -4.5, -1.8)))
  const gain = 10 ** uniformBetween(random, -0.5, 0.3)
  return {
    caption: `through the ${nameOf(random, number)}`,
    apply: (sound, random) =>
      scaled(
        steps.reduce((x, step) => step(x, random), sound),
        gain,
      ),
  }
}

const syllables = ['ba', 'co', 'du', 'fe', 'ga', 'ki', 'lo', 'mu', 'na', 'pe', 'ri', 'so', 'ta', 've', 'wo', 'zi']
/** Of three syllables, the last two of which number the device. */
const nameOf = (random: Random, number: number) =>
  [choose(random, syllables), ...[number >> 4, number % 16].map((i) => syllables[i] as string)].join('')

const strength = (random: Random) => choose(random, [0, 1, 2] as const)
const howMuch = ['a little ', '', 'much '] as const

/** Changes that say what they do. */
const named: ((random: Random) => Change)[] = [
  () => ({ caption: 'unchanged', apply: (sound) => sound }),
  (random) => {
    const s = strength(random)
    return { caption: `${howMuch[s]}darker`, apply: edge('lowpass', [3500, 1600, 700][s] as number) }
  },
  (random) => {
    const s = strength(random)
    return { caption: `${howMuch[s]}thinner`, apply: edge('highpass', [200, 500, 1200][s] as number) }
  },
  (random) => {
    const s = strength(random)
    const quieter = random.uniform() < 0.7
    const gain = ([0.6, 0.35, 0.12][s] as number) ** (quieter ? 1 : -0.5)
    return { caption: `${howMuch[s]}${quieter ? 'quieter' : 'louder'}`, apply: (sound) => scaled(sound, gain) }
  },
  (random) => {
    const s = strength(random)
    return { caption: `${howMuch[s]}distorted`, apply: drive([3, 8, 25][s] as number) }
  },
  (random) => {
    const s = strength(random)
    return { caption: `with ${howMuch[s]}hiss`, apply: hiss([-3.5, -2.7, -1.9][s] as number) }
  },
  (random) => {
    const s = strength(random)
    return { caption: `in a ${['small', 'large', 'huge'][s]} room`, apply: room([0.15, 0.4, 1][s] as number, 0.7) }
  },
  (random) => {
    const [which, hertz] = choose(random, [
      ['low', 200],
      ['middle', 800],
      ['high', 3000],
    ] as const)
    const more = random.uniform() < 0.5
    return { caption: `${more ? 'more' : 'less'} of the ${which} notes`, apply: bell(hertz, more ? 6 : 0.1) }
  },
  (random) => {
    const s = strength(random)
    const hertz = [3, 5, 9][s] as number
    return { caption: `trembling ${['slowly', 'steadily', 'fast'][s]}`, apply: tremble(hertz) }
  },
]

/** A smooth curve over eight bands, up to 18 dB up or down. */
function colour(random: Random) {
  const bands = [120, 250, 450, 800, 1400, 2400, 4000, 6200].map((hertz) =>
    bell(hertz, 10 ** uniformBetween(random, -0.9, 0.6), 1.2),
  )
  return (sound: Sound) => bands.reduce((x, band) => band(x), sound)
}

const bell =
  (hertz: number, gain: number, q = 1) =>
  (sound: Sound) => {
    const band = biquadFilter(sound, 'bandpass', hertz, q, rate)
    return sound.map((x, i) => x + (gain - 1) * (band[i] as number))
  }

const edge = (kind: 'lowpass' | 'highpass', hertz: number) => (sound: Sound) =>
  [1, 2].reduce((x) => biquadFilter(x, kind, hertz, Math.SQRT1_2, rate), sound)

const drive = (amount: number) => (sound: Sound) => sound.map((x) => Math.tanh(amount * x) / Math.tanh(amount))

const hiss = (level: number) => (sound: Sound, random: Random) => sound.map((x) => x + 10 ** level * random.normal())

const scaled = (sound: Sound, gain: number): Sound => sound.map((x) => gain * x)

const tremble = (hertz: number) => (sound: Sound) =>
  sound.map((x, i) => x * (0.55 + 0.45 * Math.sin((2 * Math.PI * hertz * i) / rate)))

/** Six echoes that feed back, each with a delay of its own, and damped: enough of a room for a mel to see. */
const room = (seconds: number, wetness: number) => (sound: Sound) => {
  const wet = new Float64Array(sound.length)
  for (const delay of [0.0297, 0.0371, 0.0411, 0.0437, 0.0533, 0.0607]) {
    const d = Math.round(delay * rate)
    const feedback = 10 ** ((-3 * delay) / seconds)
    const line = new Float64Array(sound.length)
    let damped = 0
    for (let i = d; i < sound.length; i++) {
      damped += 0.6 * ((line[i - d] as number) - damped)
      line[i] = (sound[i - d] as number) + feedback * damped
      wet[i] = (wet[i] as number) + 0.25 * (line[i] as number)
    }
  }
  return sound.map((x, i) => (1 - 0.4 * wetness) * x + wetness * (wet[i] as number))
}
