/**
 * Audio effects. Most have captions that say what they do. Devices are fixed random chains of effects with invented names, which the base can only
 * memorize. None has the settings of the demo's radio.
 */
import { type Random, randomFor } from '../../src/platform/random.ts'
import { biquadFilter } from '../synth/filter.ts'
import { choose, type Sound, uniformBetween } from '../synth/sound.ts'
import { modelSampleRate as rate } from './clips.ts'

/** `apply` processes one channel and keeps its length. Only noise differs between the channels of a clip. */
export type Effect = { caption: string; apply(sound: Sound, random: Random): Sound }

const deviceSeed = 11
export const deviceCount = 128

/** A random effect: two fifths are devices, three tenths each are changes of the sound, and places and machines. */
export function sampleEffect(random: Random): Effect {
  const draw = random.uniform()
  if (draw < 0.4) return deviceEffect(Math.floor(random.uniform() * deviceCount))
  return choose(random, draw < 0.7 ? changes : placesAndMachines)(random)
}

/** The device of a number, the same every time. */
export function deviceEffect(number: number): Effect {
  const random = randomFor(deviceSeed, 'device', number)
  const steps: ((sound: Sound, random: Random) => Sound)[] = [randomEqualizer(random)]
  if (random.uniform() < 0.5) steps.push(distort(uniformBetween(random, 2, 12)))
  if (random.uniform() < 0.4)
    steps.push(
      random.uniform() < 0.5
        ? cutFilter('lowpass', uniformBetween(random, 1200, 6000))
        : cutFilter('highpass', uniformBetween(random, 120, 1200)),
    )
  if (random.uniform() < 0.25) steps.push(reverb(uniformBetween(random, 0.2, 0.7), 0.5))
  if (random.uniform() < 0.4) steps.push(addNoise(uniformBetween(random, -4.5, -1.8)))
  const gain = 10 ** uniformBetween(random, -0.5, 0.3)
  return {
    caption: `through the ${deviceName(random, number)}`,
    apply: (sound, random) =>
      scale(
        steps.reduce((x, step) => step(x, random), sound),
        gain,
      ),
  }
}

const syllables = ['ba', 'co', 'du', 'fe', 'ga', 'ki', 'lo', 'mu', 'na', 'pe', 'ri', 'so', 'ta', 've', 'wo', 'zi']

const adjectives = ['broken', 'cheap', 'heavy', 'plastic', 'rusty', 'tiny', 'warm', 'wooden']
const nouns = ['cassette', 'headphone', 'horn', 'intercom', 'loudspeaker', 'megaphone', 'pipe', 'record player']

/** Every name is different: three syllables, of which the last two encode the number of the device; for the second half an adjective and a noun. */
function deviceName(random: Random, number: number) {
  const first = choose(random, syllables)
  const named = number - deviceCount / 2
  if (named >= 0) return `${adjectives[named >> 3]} ${nouns[named % 8]}`
  return [first, ...[number >> 4, number % 16].map((i) => syllables[i] as string)].join('')
}

const randomDegree = (random: Random) => choose(random, [0, 1, 2] as const)
const degreeWords = ['a little ', '', 'much '] as const

const changes: ((random: Random) => Effect)[] = [
  () => ({ caption: 'unchanged', apply: (sound) => sound }),
  (random) => {
    const s = randomDegree(random)
    return { caption: `${degreeWords[s]}darker`, apply: cutFilter('lowpass', [3500, 1600, 700][s] as number) }
  },
  (random) => {
    const s = randomDegree(random)
    return { caption: `${degreeWords[s]}thinner`, apply: cutFilter('highpass', [200, 500, 1200][s] as number) }
  },
  (random) => {
    const s = randomDegree(random)
    const quieter = random.uniform() < 0.7
    const gain = ([0.6, 0.35, 0.12][s] as number) ** (quieter ? 1 : -0.5)
    return { caption: `${degreeWords[s]}${quieter ? 'quieter' : 'louder'}`, apply: (sound) => scale(sound, gain) }
  },
  (random) => {
    const s = randomDegree(random)
    return { caption: `${degreeWords[s]}distorted`, apply: distort([3, 8, 25][s] as number) }
  },
  (random) => {
    const s = randomDegree(random)
    return { caption: `with ${degreeWords[s]}hiss`, apply: addNoise([-3.5, -2.7, -1.9][s] as number) }
  },
  (random) => {
    const [which, hertz] = choose(random, [
      ['low', 200],
      ['middle', 800],
      ['high', 3000],
    ] as const)
    const more = random.uniform() < 0.5
    return { caption: `${more ? 'more' : 'less'} of the ${which} notes`, apply: peakFilter(hertz, more ? 6 : 0.1) }
  },
  (random) => {
    const s = randomDegree(random)
    const hertz = [3, 5, 9][s] as number
    return { caption: `trembling ${['slowly', 'steadily', 'fast'][s]}`, apply: tremolo(hertz) }
  },
]

const placesAndMachines: ((random: Random) => Effect)[] = [
  (random) => {
    const s = randomDegree(random)
    return { caption: `in a ${['small', 'large', 'huge'][s]} room`, apply: reverb([0.15, 0.4, 1][s] as number, 0.7) }
  },
  (random) => hall(randomDegree(random)),
  (random) => {
    const s = randomDegree(random)
    return { caption: `through a ${['clear ', '', 'noisy '][s]}radio`, apply: narrowBand(radios[s] as NarrowBand) }
  },
  (random) => telephone(randomDegree(random)),
  (random) => {
    const s = randomDegree(random)
    const hertz = [1000, 500, 250][s] as number
    return {
      caption: `behind a ${['thin ', '', 'thick '][s]}wall`,
      apply: (sound) => scale(cutFilter('lowpass', hertz)(sound), 0.7),
    }
  },
  () => ({ caption: 'under water', apply: (sound) => tremolo(1.5)(cutFilter('lowpass', 450)(sound)) }),
  () => ({ caption: 'like a robot', apply: ringModulate(70) }),
]

type Degree = 0 | 1 | 2

/** Small, of stone, huge. */
export const hall = (degree: Degree): Effect => ({
  caption: `in a ${['small', 'stone', 'huge'][degree]} hall`,
  apply: reverb([0.8, 1.3, 2][degree] as number, 1),
})

/** Good, ordinary, bad. */
export const telephone = (degree: Degree): Effect => ({
  caption: `over a ${['good ', '', 'bad '][degree]}telephone`,
  apply: narrowBand(telephones[degree] as NarrowBand),
})

/** `noiseLevel` is that of `addNoise`. */
type NarrowBand = { lowHertz: number; highHertz: number; distortion: number; noiseLevel: number }

const telephones: NarrowBand[] = [
  { lowHertz: 200, highHertz: 5000, distortion: 1, noiseLevel: -4 },
  { lowHertz: 350, highHertz: 3000, distortion: 2, noiseLevel: -3.2 },
  { lowHertz: 500, highHertz: 2200, distortion: 6, noiseLevel: -2.4 },
]

const radios: NarrowBand[] = [
  { lowHertz: 100, highHertz: 6000, distortion: 1, noiseLevel: -3.5 },
  { lowHertz: 150, highHertz: 5000, distortion: 2, noiseLevel: -2.5 },
  { lowHertz: 150, highHertz: 4500, distortion: 3, noiseLevel: -1.8 },
]

const narrowBand =
  ({ lowHertz, highHertz, distortion, noiseLevel }: NarrowBand) =>
  (sound: Sound, random: Random) => {
    const band = (x: Sound) => cutFilter('lowpass', highHertz)(cutFilter('highpass', lowHertz)(x))
    return addNoise(noiseLevel)(band(distort(distortion)(band(sound))), random)
  }

/** Eight peak filters of −18 to 12 dB. */
function randomEqualizer(random: Random) {
  const bands = [120, 250, 450, 800, 1400, 2400, 4000, 6200].map((hertz) =>
    peakFilter(hertz, 10 ** uniformBetween(random, -0.9, 0.6), 1.2),
  )
  return (sound: Sound) => bands.reduce((x, band) => band(x), sound)
}

/** Multiplies a band by `gain`. */
const peakFilter =
  (hertz: number, gain: number, q = 1) =>
  (sound: Sound) => {
    const band = biquadFilter(sound, 'bandpass', hertz, q, rate)
    return sound.map((x, i) => x + (gain - 1) * (band[i] as number))
  }

/** Fourth order. */
const cutFilter = (kind: 'lowpass' | 'highpass', hertz: number) => (sound: Sound) =>
  [1, 2].reduce((x) => biquadFilter(x, kind, hertz, Math.SQRT1_2, rate), sound)

const distort = (amount: number) => (sound: Sound) => sound.map((x) => Math.tanh(amount * x) / Math.tanh(amount))

/** White noise of 10^level. */
const addNoise = (level: number) => (sound: Sound, random: Random) =>
  sound.map((x) => x + 10 ** level * random.normal())

const scale = (sound: Sound, gain: number): Sound => sound.map((x) => gain * x)

const tremolo = (hertz: number) => (sound: Sound) =>
  sound.map((x, i) => x * (0.55 + 0.45 * Math.sin((2 * Math.PI * hertz * i) / rate)))

const ringModulate = (hertz: number) => (sound: Sound) =>
  sound.map((x, i) => x * (0.2 + 0.8 * Math.sin((2 * Math.PI * hertz * i) / rate)))

/** Six damped comb filters of different delays in parallel. */
const reverb = (seconds: number, wetness: number) => (sound: Sound) => {
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
