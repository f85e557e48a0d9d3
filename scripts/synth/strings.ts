/** Plucked and bowed strings. */
import type { Random } from '../../src/platform/random.ts'
import { filtered } from './filter.ts'
import { directions, glide, hertz, key, melody } from './pitch.ts'
import { between, choose, layOver, noise, type Player, type Sound, sampleRate, silence, swell, times } from './sound.ts'
import { harmonicTone } from './tone.ts'

/** One note after another on a plucked string. */
export const pluck: Player = (random, seconds) => {
  const direction = choose(random, directions)
  const count = Math.round(seconds * between(random, 2, 4.5))
  const note = key(random)
  const melodyLine = silence(seconds)
  const shift = choose(random, [-12, 0, 12])
  melody(random, count, direction).forEach((degree, i) => {
    const start = (i / count) * seconds * 0.96
    layOver(
      melodyLine,
      pluckedString(random, hertz(note(degree) + shift), seconds - start),
      start,
      between(random, 0.5, 1),
    )
  })
  return { heard: `a plucked string plays ${count} ${direction} notes`, sound: melodyLine }
}

/** Whole chords, the strings one shortly after the other. */
export const strum: Player = (random, seconds) => {
  const note = key(random)
  const chords = 2 + Math.floor(3 * random.uniform())
  const sound = silence(seconds)
  for (let i = 0; i < chords; i++) {
    const start = (i / chords) * seconds
    const root = Math.floor(between(random, -5, 2))
    const order = i % 2 === 0 ? [0, 2, 4, 7, 9] : [9, 7, 4, 2, 0]
    order.forEach((degree, string) => {
      const played = pluckedString(random, hertz(note(root + degree) - 12), seconds / chords + 0.2)
      layOver(sound, played, start + string * 0.018, 0.5)
    })
  }
  return { heard: `a guitar strums ${chords} chords`, sound }
}

/** Long bowed notes. */
export const bow: Player = (random, seconds) => {
  const direction = choose(random, directions)
  const count = 1 + Math.floor(3 * random.uniform())
  const note = key(random)
  const cello = random.uniform() < 0.5
  const sound = silence(seconds)
  const length = (seconds * 0.98) / count
  const degrees = melody(random, count + 1, direction)
  for (let i = 0; i < count; i++) {
    const octave = cello ? -12 : 12
    const [from, to] = [hertz(note(degrees[i] as number) + octave), hertz(note(degrees[i + 1] as number) + octave)]
    const slide = count === 1 ? to : from
    const tone = harmonicTone(glide(length, from, slide, 0.008), (k) => (1 / k) * (1 + 0.6 * Math.cos(k * 1.3)))
    layOver(sound, times(filtered(tone, 'lowpass', cello ? 2800 : 6500), swell(length, 0.12, 0.12)), i * length)
  }
  const what =
    count === 1
      ? `slides from one ${direction === 'falling' ? 'note down' : 'note up'} to another`
      : `plays ${count} long ${direction} notes`
  return { heard: `a ${cello ? 'cello' : 'violin'} ${what}`, sound }
}

/** Karplus and Strong's string: a burst of noise runs round a delay line that dulls it a little every time. */
function pluckedString(random: Random, frequency: number, seconds: number): Sound {
  const period = sampleRate / frequency - 0.5 // the averaging of two samples delays by half a sample
  const whole = Math.floor(period)
  const fraction = period - whole
  const burst = filtered(noise(random, (whole + 2) / sampleRate), 'lowpass', between(random, 3000, 9000))
  const y = silence(seconds)
  const loss = 0.5 * 0.996 ** (220 / frequency)
  const before = (i: number) => (i < 0 ? 0 : (y[i] as number))
  for (let i = 0; i < y.length; i++) {
    const late = (d: number) => before(i - d) + before(i - d - 1)
    y[i] = (burst[i] ?? 0) + loss * ((1 - fraction) * late(whole) + fraction * late(whole + 1))
  }
  return y
}
