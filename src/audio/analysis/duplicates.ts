/** Finds recordings that occur twice, even where one of them was cut, encoded or leveled differently. */
import { mean } from '../../platform/statistics.ts'
import { pearson } from './correlation.ts'
import { bandGroupStatistics, bandGroups, dropFrames, maxOf, type Spectrogram } from './spectrogram.ts'

/**
 * A summary of a recording, small enough to keep hundreds of them. `rows` is `[frames, bandGroups]`, 20 frames per second: the level of each band
 * group less its mean over the recording. `statistics` are these means and the standard deviations.
 */
export type Fingerprint = { rows: Float32Array; frames: number; statistics: Float32Array }

/** Spectrogram frames that one fingerprint frame averages: 50 ms. */
const spectrogramFrames = 5
/** 15 s. */
const maxFrames = 300
/** In decibels; cells further below the loudest one are clamped. */
const audibleRange = 50

export function fingerprintOf(spectrogram: Spectrogram): Fingerprint {
  const frames = Math.min(maxFrames, Math.floor(spectrogram.frames / spectrogramFrames))
  const floor = maxOf(spectrogram.decibels) - audibleRange
  const audible = { ...spectrogram, decibels: spectrogram.decibels.map((level) => Math.max(level, floor) - floor) }
  const { means, deviations } = bandGroupStatistics(audible)
  const rows = new Float32Array(frames * bandGroups)
  for (let frame = 0; frame < frames; frame++) {
    const row = bandGroupStatistics(dropFrames(audible, frame * spectrogramFrames), spectrogramFrames)
    const centered = row.means.map((level, group) => level - (means[group] as number))
    rows.set(centered, frame * bandGroups)
  }
  return { rows, frames, statistics: Float32Array.from([...means, ...deviations]) }
}

/** The pairs of indices, the smaller one first, whose fingerprints are of the same recording. */
export function findDuplicates(fingerprints: readonly Fingerprint[]): [number, number][] {
  return fingerprints.flatMap((first, i) =>
    fingerprints
      .slice(i + 1)
      .flatMap((second, offset): [number, number][] => (isSame(first, second) ? [[i, i + 1 + offset]] : [])),
  )
}

/** Fingerprints whose statistics differ by more, in decibels, are of different recordings. This spares most pairs the correlation. */
const maxStatisticsDistance = 3
/** A sound whose band groups vary less over time, in decibels, cannot be recognized. */
const minTemporalSpread = 1
/** How much earlier or later the copy may begin: one second. */
const maxLagFrames = 20
const sameRecordingThreshold = 0.95

function isSame(first: Fingerprint, second: Fingerprint): boolean {
  if (rootMeanSquareDistance(first.statistics, second.statistics) > maxStatisticsDistance) return false
  if (Math.min(temporalSpread(first), temporalSpread(second)) < minTemporalSpread) return false
  for (let lag = -maxLagFrames; lag <= maxLagFrames; lag++) {
    const a = first.rows.subarray(Math.max(0, -lag) * bandGroups)
    const b = second.rows.subarray(Math.max(0, lag) * bandGroups)
    const length = Math.min(a.length, b.length)
    if (length < Math.max(first.rows.length, second.rows.length) / 2) continue
    const { correlation } = pearson(a.subarray(0, length), b.subarray(0, length))
    if (correlation >= sameRecordingThreshold) return true
  }
  return false
}

/** The mean over the band groups of their standard deviation over time. */
const temporalSpread = ({ statistics }: Fingerprint) => mean(statistics.subarray(bandGroups))

const rootMeanSquareDistance = (a: Float32Array, b: Float32Array) =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - (b[i] as number)) ** 2, 0) / a.length)
