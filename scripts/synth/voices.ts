/** Voice-like sounds: a harmonic source through formant filters, with bursts of noise as consonants. */
import type { Random } from '../../src/platform/random.ts'
import { biquadFilter } from './filter.ts'
import { directions, glidingPitch, melody, randomScale, semitonesToHertz } from './pitch.ts'
import {
  attackRelease,
  choose,
  exponentialDecay,
  mix,
  mixInto,
  multiply,
  noise,
  type Sound,
  type SoundGenerator,
  sampleRate,
  silence,
  uniformBetween,
} from './sound.ts'
import { harmonicTone } from './tone.ts'

/** The first three formants of each vowel in hertz. */
const vowels = {
  a: [800, 1150, 2900],
  e: [400, 2000, 2600],
  i: [280, 2250, 2900],
  o: [450, 800, 2830],
  u: [330, 700, 2530],
} as const
type Vowel = keyof typeof vowels
const formantGains = [1, 0.6, 0.25]

const registers = [
  { name: 'deep', hertz: 95, formants: 0.9 },
  { name: 'calm', hertz: 150, formants: 1 },
  { name: 'bright', hertz: 235, formants: 1.12 },
  { name: "child's", hertz: 310, formants: 1.25 },
]

/** A phrase: syllables of uneven length, each after a consonant. The pitch falls, or rises at the end of a question. */
export const speech: SoundGenerator = (random, seconds) => {
  const register = choose(random, registers)
  const question = random.uniform() < 0.4
  const count = Math.round(seconds * uniformBetween(random, 2.2, 4))
  const lengths = unevenParts(random, count, seconds * 0.94)
  const phrase = silence(seconds)
  let start = 0
  lengths.forEach((length, i) => {
    const intonation = (at: number) => (question ? 1 + 0.45 * Math.max(0, at - 0.6) : 1.12 - 0.25 * at)
    const bend = uniformBetween(random, 0.93, 1.08)
    const pitch = glidingPitch(
      length * 0.8,
      register.hertz * intonation(i / count) * bend,
      register.hertz * intonation((i + 1) / count),
    )
    const syllable = multiply(vowelGlide(random, pitch, register.formants), attackRelease(length * 0.8, 0.03, 0.06))
    mixInto(phrase, consonant(random), start, uniformBetween(random, 0.05, 0.25))
    mixInto(phrase, syllable, start + length * 0.12, uniformBetween(random, 0.6, 1))
    start += length
  })
  const manner = question ? 'asks something' : 'says something'
  return { description: `a ${register.name} voice ${manner} in ${count} syllables`, sound: phrase }
}

/** Two to four long notes with vibrato; each starts slightly below its pitch. */
export const singing: SoundGenerator = (random, seconds) => {
  const register = choose(random, registers)
  const direction = choose(random, directions)
  const count = 2 + Math.floor(3 * random.uniform())
  const note = randomScale(random)
  const centre = register.hertz / semitonesToHertz(note(3))
  const degrees = melody(random, count, direction)
  const song = silence(seconds)
  const length = (seconds * 0.97) / count
  degrees.forEach((degree, i) => {
    const pitch = centre * semitonesToHertz(note(degree))
    const before = i === 0 ? pitch * 0.94 : pitch * 0.985
    const sung = vowelGlide(random, glidingPitch(length, before, pitch, 0.018), register.formants)
    mixInto(song, multiply(sung, attackRelease(length, 0.06, 0.1)), i * length)
  })
  return { description: `a ${register.name} voice sings ${count} ${direction} notes`, sound: song }
}

/** Two voices humming a third apart. */
export const humming: SoundGenerator = (random, seconds) => {
  const base = uniformBetween(random, 120, 220)
  const bend = choose(random, [0.8, 1.25])
  const hummed = [1, 1.26].map((ratio) =>
    harmonicTone(glidingPitch(seconds, base * ratio, base * ratio * bend, 0.01), (k) => k ** -2.5),
  )
  const sound = multiply(mix(hummed), attackRelease(seconds, 0.2, 0.3))
  return { description: `two voices hum together, slowly ${bend > 1 ? 'rising' : 'falling'}`, sound }
}

/** A harmonic source whose formants move from one vowel to another. @param scale of the formants: larger for smaller voices. */
function vowelGlide(random: Random, pitch: Sound, scale: number): Sound {
  const names = Object.keys(vowels) as Vowel[]
  const [from, to] = [vowels[choose(random, names)], vowels[choose(random, names)]]
  const breath = noise(random, pitch.length / sampleRate).map((x) => 0.02 * x)
  const source = mix([harmonicTone(pitch, (k) => k ** -1.1), breath])
  const formants = formantGains.map((gain, f) => {
    const [first, last] = [scale * (from[f] as number), scale * (to[f] as number)]
    const path = pitch.map((_, i) => first + ((last - first) * i) / pitch.length)
    return biquadFilter(source, 'bandpass', path, 4 + 3 * f).map((x) => gain * x)
  })
  return mix(formants)
}

/** A burst of noise, as in s, sh, t or k. */
function consonant(random: Random): Sound {
  const length = uniformBetween(random, 0.03, 0.11)
  const hiss = biquadFilter(noise(random, length), 'bandpass', uniformBetween(random, 1500, 7000), 1.2)
  return multiply(hiss, random.uniform() < 0.5 ? attackRelease(length, 0.02, 0.02) : exponentialDecay(length, 0.05))
}

/** Divides `whole` into random parts. */
function unevenParts(random: Random, count: number, whole: number): number[] {
  const parts = Array.from({ length: count }, () => uniformBetween(random, 0.6, 1.5))
  const sum = parts.reduce((a, b) => a + b)
  return parts.map((part) => (whole * part) / sum)
}
