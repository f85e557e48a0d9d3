/**
 * What the demo LoRA is to learn: any sound as an old radio plays it. One small loudspeaker, 300 to 3400 Hz; an amplifier driven a little too
 * hard; mains hum and hiss underneath. Always the same radio.
 */
import type { Random } from '../../src/platform/random.ts'
import { biquadFilter, cascadedFilter } from './filter.ts'
import { noise, type Sound, sampleRate, fromFunction, scaleToPeak } from './sound.ts'

const [lowest, highest] = [300, 3400]
const drive = 2.5
const humLevel = 0.012
const hissLevel = 0.03

export function applyRadio(sound: Sound, random: Random): Sound {
  const narrow = scaleToPeak(bandLimited(sound), 1)
  const driven = narrow.map((x) => Math.tanh(drive * x + 0.15) - Math.tanh(0.15)) // lopsided, as one valve is: even harmonics too
  const speaker = scaleToPeak(withResonance(bandLimited(driven)), 0.7)
  const under = humAndHiss(random, sound.length / sampleRate)
  return speaker.map((x, i) => x + (under[i] ?? 0))
}

const bandLimited = (sound: Sound): Sound => cascadedFilter(cascadedFilter(sound, 'highpass', lowest, 2), 'lowpass', highest, 2)

/** The cabinet's boxy resonance around 900 Hz. */
function withResonance(sound: Sound): Sound {
  const box = biquadFilter(sound, 'bandpass', 900, 1.5)
  return sound.map((x, i) => x + 0.8 * (box[i] as number))
}

/** 50 Hz and what a rectifier makes of it, and hiss within the band. */
function humAndHiss(random: Random, seconds: number): Sound {
  const hiss = bandLimited(noise(random, seconds))
  return fromFunction(seconds, (t, i) => {
    const hum = [1, 2, 3, 6].reduce((sum, k) => sum + Math.sin(2 * Math.PI * 50 * k * t) / k, 0)
    return humLevel * hum + hissLevel * (hiss[i] ?? 0)
  })
}
