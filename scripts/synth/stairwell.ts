/** A second transformation that a LoRA can learn: a sound behind a closed door in a stairwell, with long reverberation and a humming lamp. */
import type { Random } from '../../src/platform/random.ts'
import { biquadFilter, cascadedFilter } from './filter.ts'
import { fromFunction, noise, type Sound, sampleRate, scaleToPeak } from './sound.ts'

const doorHertz = 900
const lampLevel = 0.004

export function applyStairwell(sound: Sound, random: Random): Sound {
  const behindDoor = cascadedFilter(sound, 'lowpass', doorHertz, 2)
  const reverberant = scaleToPeak(reverb(behindDoor), 0.7)
  const hiss = noise(random, sound.length / sampleRate)
  const lamp = fromFunction(sound.length / sampleRate, (t, i) => Math.sin(2 * Math.PI * 100 * t) + 0.5 * (hiss[i] ?? 0))
  return reverberant.map((x, i) => x + lampLevel * (lamp[i] as number))
}

/** Eight feedback delays with a low-pass filter and a reverberation time of one second, and a resonance at 350 Hz. */
function reverb(sound: Sound): Sound {
  const wet = new Float64Array(sound.length)
  for (const delay of [0.0291, 0.0353, 0.0397, 0.0449, 0.0521, 0.0593, 0.0661, 0.0743]) {
    const d = Math.round(delay * sampleRate)
    const feedback = 10 ** ((-3 * delay) / 1)
    const line = new Float64Array(sound.length)
    let damped = 0
    for (let i = d; i < sound.length; i++) {
      damped += 0.2 * ((line[i - d] as number) - damped)
      line[i] = (sound[i - d] as number) + feedback * damped
      wet[i] = (wet[i] as number) + (line[i] as number) / 4
    }
  }
  const resonance = biquadFilter(wet, 'bandpass', 350, 2)
  return sound.map((x, i) => 0.4 * x + (wet[i] as number) + 0.6 * (resonance[i] as number))
}
