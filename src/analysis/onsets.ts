/** Where sounds begin, a thousand times a second: what stays in place when a transformation leaves no waveform to compare. */

export const onsetsPerSecond = 1000

/** Power is averaged over this many milliseconds, and compared with this many before. */
const smoothing = 8
const rise = 4

/** Below the loudest moment by this factor of power (40 dB) there are no onsets, only noise. */
const floor = 1e-4

/** How fast the level rises, falls left out, the mean taken away. `samples` are mono. */
export function onsets(samples: Float32Array, sampleRate: number): Float32Array {
  const level = smoothLogPower(samples, sampleRate / onsetsPerSecond)
  const rises = level.map((value, i) => (i < rise ? 0 : Math.max(0, value - (level[i - rise] as number))))
  const mean = rises.reduce((sum, value) => sum + value, 0) / Math.max(1, rises.length)
  return Float32Array.from(rises, (value) => value - mean)
}

function smoothLogPower(samples: Float32Array, hop: number): Float64Array {
  const power = Float64Array.from({ length: Math.floor(samples.length / hop) }, (_, i) =>
    meanSquare(samples, Math.floor(i * hop), Math.floor((i + 1) * hop)),
  )
  const smooth = power.map((_, i) => mean(power.subarray(Math.max(0, i - smoothing + 1), i + 1)))
  const loudest = smooth.reduce((highest, value) => Math.max(highest, value), 0)
  return loudest > 0 ? smooth.map((value) => Math.log(value + loudest * floor)) : smooth
}

function meanSquare(samples: Float32Array, from: number, to: number): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += (samples[i] as number) ** 2
  return sum / (to - from)
}

const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length
