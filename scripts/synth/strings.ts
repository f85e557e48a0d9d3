/** Plucked and bowed strings. */
import type { Random } from '../../src/platform/random.ts'
import { biquadFilter } from './filter.ts'
import { directions, glidingPitch, melody, randomScale, semitonesToHertz } from './pitch.ts'
import {
  attackRelease,
  choose,
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

/** A melody on a plucked string. */
export const pluckedMelody: SoundGenerator = (random, seconds) => {
  const direction = choose(random, directions)
  const count = Math.round(seconds * uniformBetween(random, 2, 4.5))
  const note = randomScale(random)
  const melodyLine = silence(seconds)
  const shift = choose(random, [-12, 0, 12])
  melody(random, count, direction).forEach((degree, i) => {
    const start = (i / count) * seconds * 0.96
    mixInto(
      melodyLine,
      pluckedString(random, semitonesToHertz(note(degree) + shift), seconds - start),
      start,
      uniformBetween(random, 0.5, 1),
    )
  })
  return { description: `a plucked string plays ${count} ${direction} notes`, sound: melodyLine }
}

/** Two to four guitar chords. The strings of a chord start 18 ms apart. */
export const strummedChords: SoundGenerator = (random, seconds) => {
  const note = randomScale(random)
  const chords = 2 + Math.floor(3 * random.uniform())
  const sound = silence(seconds)
  for (let i = 0; i < chords; i++) {
    const start = (i / chords) * seconds
    const root = Math.floor(uniformBetween(random, -5, 2))
    const order = i % 2 === 0 ? [0, 2, 4, 7, 9] : [9, 7, 4, 2, 0]
    order.forEach((degree, string) => {
      const played = pluckedString(random, semitonesToHertz(note(root + degree) - 12), seconds / chords + 0.2)
      mixInto(sound, played, start + string * 0.018, 0.5)
    })
  }
  return { description: `a guitar strums ${chords} chords`, sound }
}

/** One to three long bowed notes. */
export const bowedNotes: SoundGenerator = (random, seconds) => {
  const direction = choose(random, directions)
  const count = 1 + Math.floor(3 * random.uniform())
  const note = randomScale(random)
  const cello = random.uniform() < 0.5
  const sound = silence(seconds)
  const length = (seconds * 0.98) / count
  const degrees = melody(random, count + 1, direction)
  for (let i = 0; i < count; i++) {
    const octave = cello ? -12 : 12
    const [from, to] = [
      semitonesToHertz(note(degrees[i] as number) + octave),
      semitonesToHertz(note(degrees[i + 1] as number) + octave),
    ]
    const slide = count === 1 ? to : from
    const tone = harmonicTone(glidingPitch(length, from, slide, 0.008), (k) => (1 / k) * (1 + 0.6 * Math.cos(k * 1.3)))
    mixInto(
      sound,
      multiply(biquadFilter(tone, 'lowpass', cello ? 2800 : 6500), attackRelease(length, 0.12, 0.12)),
      i * length,
    )
  }
  const what =
    count === 1
      ? `slides from one ${direction === 'falling' ? 'note down' : 'note up'} to another`
      : `plays ${count} long ${direction} notes`
  return { description: `a ${cello ? 'cello' : 'violin'} ${what}`, sound }
}

/** A Karplus-Strong string: a burst of noise in a feedback delay with a low-pass filter. */
function pluckedString(random: Random, frequency: number, seconds: number): Sound {
  const period = sampleRate / frequency - 0.5 // the averaging of two samples delays by half a sample
  const whole = Math.floor(period)
  const fraction = period - whole
  const burst = biquadFilter(noise(random, (whole + 2) / sampleRate), 'lowpass', uniformBetween(random, 3000, 9000))
  const y = silence(seconds)
  const loss = 0.5 * 0.996 ** (220 / frequency)
  const sampleAt = (i: number) => (i < 0 ? 0 : (y[i] as number))
  for (let i = 0; i < y.length; i++) {
    const delayed = (d: number) => sampleAt(i - d) + sampleAt(i - d - 1)
    y[i] = (burst[i] ?? 0) + loss * ((1 - fraction) * delayed(whole) + fraction * delayed(whole + 1))
  }
  return y
}
