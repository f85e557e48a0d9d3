/** Tones built from harmonics, so that they have no aliasing. */
import { phaseOf } from './pitch.ts'
import type { Sound } from './sound.ts'

const maxHertz = 16_000

/** The harmonics of a pitch up to 16 kHz. @param amplitudeOf the amplitude of the k-th harmonic. */
export function harmonicTone(pitch: Sound, amplitudeOf: (k: number) => number): Sound {
  const phase = phaseOf(pitch)
  const count = Math.floor(maxHertz / pitch.reduce((low, f) => Math.min(low, f), maxHertz))
  const tone = new Float64Array(pitch.length)
  for (let k = 1; k <= count; k++) {
    const amplitude = amplitudeOf(k)
    if (amplitude < 1e-4) continue
    for (let i = 0; i < tone.length; i++)
      if (k * (pitch[i] as number) < maxHertz)
        tone[i] = (tone[i] as number) + amplitude * Math.sin(2 * Math.PI * k * (phase[i] as number))
  }
  return tone
}
