/**
 * The transformation that the demo LoRA learns: an old radio. A small loudspeaker (300 to 3400 Hz), an overdriven amplifier, mains hum and hiss.
 * Its settings never change.
 */
import type { Random } from '../../src/platform/random.ts'
import { biquadFilter, cascadedFilter } from './filter.ts'
import { fromFunction, noise, type Sound, sampleRate, scaleToPeak } from './sound.ts'

const [lowHertz, highHertz] = [300, 3400]
const drive = 2.5
const humLevel = 0.012
const hissLevel = 0.03

export function applyRadio(sound: Sound, random: Random): Sound {
  const narrow = scaleToPeak(bandLimited(sound), 1)
  const driven = narrow.map((x) => Math.tanh(drive * x + 0.15) - Math.tanh(0.15)) // asymmetric, like a single valve: even harmonics too
  const speaker = scaleToPeak(withResonance(bandLimited(driven)), 0.7)
  const background = humAndHiss(random, sound.length / sampleRate)
  return speaker.map((x, i) => x + (background[i] ?? 0))
}

const bandLimited = (sound: Sound): Sound =>
  cascadedFilter(cascadedFilter(sound, 'highpass', lowHertz, 2), 'lowpass', highHertz, 2)

/** Adds the resonance of the cabinet at 900 Hz. */
function withResonance(sound: Sound): Sound {
  const cabinet = biquadFilter(sound, 'bandpass', 900, 1.5)
  return sound.map((x, i) => x + 0.8 * (cabinet[i] as number))
}

/** Mains hum, 50 Hz and harmonics, and hiss within the band of the radio. */
function humAndHiss(random: Random, seconds: number): Sound {
  const hiss = bandLimited(noise(random, seconds))
  return fromFunction(seconds, (t, i) => {
    const hum = [1, 2, 3, 6].reduce((sum, k) => sum + Math.sin(2 * Math.PI * 50 * k * t) / k, 0)
    return humLevel * hum + hissLevel * (hiss[i] ?? 0)
  })
}
