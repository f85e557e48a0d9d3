/** A flute: four harmonics and breath noise. */
import { biquadFilter } from './filter.ts'
import { directions, glidingPitch, melody, randomScale, semitonesToHertz } from './pitch.ts'
import {
  attackRelease,
  choose,
  mixInto,
  multiply,
  noise,
  type SoundGenerator,
  sampleRate,
  silence,
  uniformBetween,
} from './sound.ts'
import { harmonicTone } from './tone.ts'

/** A melody of three to eight notes, sometimes with a trill at the end. */
export const fluteMelody: SoundGenerator = (random, seconds) => {
  const direction = choose(random, directions)
  const count = Math.round(uniformBetween(random, 3, 8))
  const trill = random.uniform() < 0.35
  const note = randomScale(random)
  const sound = silence(seconds)
  const length = (seconds * 0.97) / count
  melody(random, count, direction).forEach((degree, i) => {
    const pitch = semitonesToHertz(note(degree) + 12)
    const other = semitonesToHertz(note(degree + 1) + 12)
    const steady = glidingPitch(length, pitch * 0.99, pitch, 0.01)
    const path =
      trill && i === count - 1 ? steady.map((f, n) => (Math.floor((n / sampleRate) * 16) % 2 ? other : f)) : steady
    const tone = harmonicTone(path, (k) => [1, 0.35, 0.12, 0.05][k - 1] ?? 0)
    const breath = biquadFilter(noise(random, length), 'bandpass', pitch * 2, 1.5)
    const blown = tone.map((x, n) => x + 0.12 * (breath[n] as number))
    mixInto(sound, multiply(blown, attackRelease(length, 0.04, 0.05)), i * length)
  })
  return { description: `a flute plays ${count} ${direction} notes${trill ? ' and ends in a trill' : ''}`, sound }
}
