/** Gains that make the pairs of a dataset equally loud. Both sides of a pair get the same one, so that what the pair does to the level is kept. */
import { toDbfs } from '../../audio/waveform.ts'
import { median } from '../../platform/statistics.ts'

export type PairLevel = {
  /** Of the target, in LUFS; `null` where it is too short or silent. */
  loudness: number | null
  /** The largest absolute sample of both sides. */
  peak: number
  /** The loudest root mean square of the quieter side. */
  quieterRms: number
}

/** In LU. A target that is no further from the median is loud enough. */
const evenRange = 3
/** In dBFS. No gain raises a peak above it. */
const highestPeak = -1
/** In dBFS. No gain lowers the loudest part of a side below it, or it would count as silent. */
const lowestRms = -40
/** In dB. A smaller gain, which is left where the peak is reached, changes nothing. */
const smallestGain = 0.1

/** `missingDb` is how far the target stays below the median, where the peak allows no more gain. */
export type PairGain = { gainDb: number; missingDb: number }

/**
 * The gain of each pair, 0 dB for most: to the median loudness of the targets, or as close to it as the peak allows. The median and the loudness that a
 * pair can reach stay the same, so a second time gives no further gains, unless the peak was in a part that was cut away.
 */
export function levelGains(levels: readonly PairLevel[]): PairGain[] {
  const middle = median(levels.flatMap(({ loudness }) => loudness ?? []))
  return levels.map(({ loudness, peak, quieterRms }) => {
    if (loudness === null || Math.abs(middle - loudness) <= evenRange) return { gainDb: 0, missingDb: 0 }
    const headroom = Math.max(0, highestPeak - toDbfs(peak))
    const footroom = Math.min(0, lowestRms - toDbfs(quieterRms))
    const gain = Math.max(Math.min(middle - loudness, headroom), footroom)
    const gainDb = Math.abs(gain) < smallestGain ? 0 : gain
    const missing = middle - loudness - gainDb
    return { gainDb, missingDb: missing < smallestGain ? 0 : missing }
  })
}
