/** Tones built from partials, so that nothing folds back at half the sample rate. */
import { phaseOf } from './pitch.ts'
import type { Sound } from './sound.ts'

const maxHertz = 16_000

/** All harmonics of a moving pitch up to 16 kHz; `strength(k)` is how loud the k-th is. */
export function harmonicTone(pitch: Sound, strength: (k: number) => number): Sound {
  const phase = phaseOf(pitch)
  const count = Math.floor(maxHertz / pitch.reduce((low, f) => Math.min(low, f), maxHertz))
  const tone = new Float64Array(pitch.length)
  for (let k = 1; k <= count; k++) {
    const amplitude = strength(k)
    if (amplitude < 1e-4) continue
    for (let i = 0; i < tone.length; i++)
      if (k * (pitch[i] as number) < maxHertz)
        tone[i] = (tone[i] as number) + amplitude * Math.sin(2 * Math.PI * k * (phase[i] as number))
  }
  return tone
}
