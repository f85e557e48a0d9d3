/**
 * Whether two sounds are one performance, and how much later the second begins. First their waveforms are compared, whitened so that equalisers,
 * radios and rooms do not matter; where a transformation leaves no waveform to compare (a changed pitch), the places where sounds begin are.
 */
import type { Waveform } from '../waveform.ts'
import { bestPeak, type Correlation, crossCorrelation } from './cross-correlation.ts'

export type Alignment = {
  /** What they have in common: the waveform, at least the timing, or neither. */
  common: 'waveform' | 'timing' | 'nothing'
  /** How much later the second sound is; `null` where nothing tells, as in a steady tone. */
  lagSeconds: number | null
  /** How well the waveforms fit, 0 to 1: unrelated recordings stay below 0.06, the same one through a telephone reaches 0.25. */
  waveformMatch: number
  /** How well the beginnings of sounds fit, 0 to 1: unrelated recordings stay below 0.35. */
  timingMatch: number
}

/** No trainer can use a pair that is further apart. */
const reachSeconds = 1

/** Enough that resonances and echoes do not hide the direct sound, little enough that noise stays noise. Tried on speech, drums, strings, bells. */
const whitening = 0.7

const sameWaveform = 0.12
export const sameTiming = 0.45

/** A periodic sound fits nearly as well one period later: then there is a match but no lag. */
const clearWaveform = 1.1
const clearTiming = 1.25
const apartSeconds = 0.003
const apartInTiming = 0.02

/** Compares two mono sounds of one sample rate. */
export function align(first: Waveform, second: Waveform): Alignment {
  const { sampleRate } = first
  if (second.sampleRate !== sampleRate) throw new Error(`${sampleRate} Hz against ${second.sampleRate} Hz`)
  const [a, b] = [mono(first), mono(second)]
  const waveforms = magnitudes(crossCorrelation(a, b, { reach: Math.round(reachSeconds * sampleRate), whitening }))
  const waveform = bestPeak(waveforms, apartSeconds * sampleRate)
  const beginnings = [onsets(a, sampleRate), onsets(b, sampleRate)] as const
  const timings = crossCorrelation(...beginnings, { reach: reachSeconds * onsetsPerSecond })
  const timing = bestPeak(timings, apartInTiming * onsetsPerSecond)

  const matches = { waveformMatch: waveform.value, timingMatch: Math.max(0, timing.value) }
  const isClear = (peak: { value: number; runnerUp: number }, ratio: number) => peak.value >= ratio * peak.runnerUp
  const waveformLag = isClear(waveform, clearWaveform) ? waveform.lag / sampleRate : null
  const timingLag = isClear(timing, clearTiming) ? timing.lag / onsetsPerSecond : null
  if (waveform.value >= sameWaveform) return { common: 'waveform', lagSeconds: waveformLag, ...matches }
  if (timing.value >= sameTiming) return { common: 'timing', lagSeconds: timingLag, ...matches }
  return { common: 'nothing', lagSeconds: null, ...matches }
}

const mono = ({ channels }: Waveform) => channels[0] as Float32Array

/** A turned polarity is the same sound. */
const magnitudes = ({ values, reach }: Correlation): Correlation => ({ values: values.map(Math.abs), reach })

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
