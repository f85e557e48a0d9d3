/**
 * Whether two sounds are the same performance, and how much later the second one is. First their waveforms are compared, whitened so that equalizers,
 * radios and rooms do not matter. Where a transformation changed the waveform too much, as a changed pitch does, the onsets of their sounds are.
 */
import { mean } from '../../platform/statistics.ts'
import type { Waveform } from '../waveform.ts'
import { bestPeak, type CrossCorrelation, crossCorrelation, type Peak } from './correlation.ts'

export type Alignment = {
  /** What the two have in common: the waveform, only the timing of onsets, or neither. */
  common: 'waveform' | 'timing' | 'nothing'
  /** How much later the second sound is; `null` where it cannot be determined, as for a steady tone. */
  lagSeconds: number | null
  /** Whether the waveform of the second sound has the opposite polarity. */
  inverted: boolean
  /** Correlation of the waveforms, 0 to 1: below 0.06 for unrelated recordings, up to 0.25 for a recording and the same through a telephone. */
  waveformMatch: number
  /** Correlation of the onsets, 0 to 1: below 0.35 for unrelated recordings. */
  timingMatch: number
}

/** Lags up to this are searched first: a longer search finds the repetitions of a loop, too. */
const nearLagSeconds = 1

/**
 * Strong enough that resonances and echoes do not hide the direct sound, weak enough that noise is not amplified. Tuned on speech, drums, strings and
 * bells.
 */
const whitening = 0.7

export const sameWaveformThreshold = 0.12
export const sameTimingThreshold = 0.45

/** A peak must exceed the second highest by this factor: a periodic sound matches nearly as well one period later, and then has no clear lag. */
const clearWaveformRatio = 1.1
const clearTimingRatio = 1.25
/** Peaks closer to each other than this are one peak. */
const waveformPeakSeconds = 0.003
const timingPeakSeconds = 0.02

/**
 * Compares two mono sounds.
 * @param options.maxLagSeconds larger lags than one second are searched where no smaller one matches.
 * @throws Error when their sample rates differ.
 */
export function align(first: Waveform, second: Waveform, { maxLagSeconds = nearLagSeconds } = {}): Alignment {
  const { sampleRate } = first
  if (second.sampleRate !== sampleRate)
    throw new Error(`sounds of ${sampleRate} and ${second.sampleRate} Hz cannot be aligned`)
  const [a, b] = [onlyChannel(first), onlyChannel(second)]
  const waveforms = crossCorrelation(a, b, { maxLag: Math.round(maxLagSeconds * sampleRate), whitening })
  const waveform = nearestMatch(absolute(waveforms), sampleRate, {
    threshold: sameWaveformThreshold,
    peakSeconds: waveformPeakSeconds,
  })
  const envelopes = [onsetEnvelope(a, sampleRate), onsetEnvelope(b, sampleRate)] as const
  const timings = crossCorrelation(...envelopes, { maxLag: maxLagSeconds * onsetRate })
  const timing = nearestMatch(timings, onsetRate, { threshold: sameTimingThreshold, peakSeconds: timingPeakSeconds })

  const common =
    waveform.value >= sameWaveformThreshold ? 'waveform' : timing.value >= sameTimingThreshold ? 'timing' : 'nothing'
  const waveformLag = isClear(waveform, clearWaveformRatio) ? waveform.lag / sampleRate : null
  const timingLag = isClear(timing, clearTimingRatio) ? timing.lag / onsetRate : null
  return {
    common,
    lagSeconds: { waveform: waveformLag, timing: timingLag, nothing: null }[common],
    inverted: common === 'waveform' && isInverted(waveforms),
    waveformMatch: waveform.value,
    timingMatch: Math.max(0, timing.value),
  }
}

/** The best peak at a small lag, or at any where none reaches the threshold. */
function nearestMatch(
  correlation: CrossCorrelation,
  rate: number,
  { threshold, peakSeconds }: { threshold: number; peakSeconds: number },
): Peak {
  const nearLag = Math.min(correlation.maxLag, Math.round(nearLagSeconds * rate))
  const middle = correlation.maxLag
  const near = { maxLag: nearLag, values: correlation.values.subarray(middle - nearLag, middle + nearLag + 1) }
  const nearest = bestPeak(near, peakSeconds * rate)
  if (nearLag === correlation.maxLag || nearest.value >= threshold) return nearest
  const furthest = bestPeak(correlation, peakSeconds * rate)
  return furthest.value >= threshold ? furthest : nearest
}

const onlyChannel = ({ channels }: Waveform) => channels[0] as Float32Array

/** A sound with inverted polarity is the same sound. */
const absolute = ({ values, maxLag }: CrossCorrelation): CrossCorrelation => ({ values: values.map(Math.abs), maxLag })

/** Filters turn the phase: radios and high-passes give negative peaks up to 2.4 times as high as the positive ones, without an inversion. */
const clearPolarityRatio = 3

function isInverted({ values }: CrossCorrelation): boolean {
  const [lowest, highest] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [0, 0])
  return -lowest > clearPolarityRatio * highest
}

const isClear = ({ value, runnerUp }: Peak, ratio: number) => value >= ratio * runnerUp

/** Values per second of an onset envelope. */
const onsetRate = 1000

/** Power is averaged over this many milliseconds, and compared with the average this many milliseconds before. */
const smoothingMilliseconds = 8
const riseMilliseconds = 4

/** Power is clamped at this fraction of the loudest moment (−40 dB): the onsets below it are noise. */
const powerFloor = 1e-4

/** How fast the level of a sound rises, with falls set to zero and the mean subtracted, a thousand times per second. */
function onsetEnvelope(samples: Float32Array, sampleRate: number): Float32Array {
  const level = smoothLogPower(samples, sampleRate / onsetRate)
  const rises = level.map((value, i) =>
    i < riseMilliseconds ? 0 : Math.max(0, value - (level[i - riseMilliseconds] as number)),
  )
  const average = rises.length > 0 ? mean(rises) : 0
  return Float32Array.from(rises, (value) => value - average)
}

/** @param hop in samples; it need not be a whole number. */
function smoothLogPower(samples: Float32Array, hop: number): Float64Array {
  const power = Float64Array.from({ length: Math.floor(samples.length / hop) }, (_, i) =>
    meanSquare(samples, Math.floor(i * hop), Math.floor((i + 1) * hop)),
  )
  const smooth = power.map((_, i) => mean(power.subarray(Math.max(0, i - smoothingMilliseconds + 1), i + 1)))
  const loudest = smooth.reduce((max, value) => Math.max(max, value), 0)
  return loudest > 0 ? smooth.map((value) => Math.log(value + loudest * powerFloor)) : smooth
}

function meanSquare(samples: Float32Array, from: number, to: number): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += (samples[i] as number) ** 2
  return sum / (to - from)
}
