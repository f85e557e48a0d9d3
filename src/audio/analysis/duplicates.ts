/** Recordings that occur twice, though cut, coded or levelled differently. */

import { groupStatistics } from './pair-comparison.ts'
import { highest, later, type Spectrum } from './spectrum.ts'

/** A recording small enough to keep hundreds of: 16 bands, 20 times a second, what a band always has is taken away and kept apart. */
export type Fingerprint = { rows: Float32Array; frames: number; statistics: Float32Array }

const rowsPerFrame = 5 // of the spectrum's hundred per second
const width = 16
/** A quarter of a minute is enough to know a recording by. */
const longestFrames = 300
/** How much earlier or later the copy may begin, in frames of 50 ms. */
const reach = 20
/** Statistics that differ by more (in decibels) belong to other sounds, so that most pairs need no closer look. */
const closeEnough = 3
const sameSound = 0.95

/** A sound that hardly moves (its bands spread by less, in decibels) has nothing to be known by. */
const leastSpread = 1

/** What is more than this below the loudest cell is cut off. */
const audibleRange = 50

export function fingerprintOf(spectrum: Spectrum): Fingerprint {
  const frames = Math.min(longestFrames, Math.floor(spectrum.frames / rowsPerFrame))
  const floor = highest(spectrum.decibels) - audibleRange
  const heard = { ...spectrum, decibels: spectrum.decibels.map((level) => Math.max(level, floor) - floor) }
  const { means, spreads } = groupStatistics(heard)
  const rows = new Float32Array(frames * width)
  for (let frame = 0; frame < frames; frame++) {
    const row = groupStatistics(later(heard, frame * rowsPerFrame), rowsPerFrame)
    const moved = row.means.map((level, band) => level - (means[band] as number))
    rows.set(moved, frame * width)
  }
  return { rows, frames, statistics: Float32Array.from([...means, ...spreads]) }
}

/** The pairs of indices, the first one smaller, whose sounds are one recording. */
export function findDuplicates(fingerprints: readonly Fingerprint[]): [number, number][] {
  return fingerprints.flatMap((first, i) =>
    fingerprints
      .slice(i + 1)
      .flatMap((second, offset): [number, number][] => (isSame(first, second) ? [[i, i + 1 + offset]] : [])),
  )
}

function isSame(first: Fingerprint, second: Fingerprint): boolean {
  if (distance(first.statistics, second.statistics) > closeEnough) return false
  if (Math.min(liveliness(first), liveliness(second)) < leastSpread) return false
  for (let lag = -reach; lag <= reach; lag++) {
    const [a, b] = [first.rows.subarray(Math.max(0, -lag) * width), second.rows.subarray(Math.max(0, lag) * width)]
    const length = Math.min(a.length, b.length)
    const longest = Math.max(first.rows.length, second.rows.length)
    if (length >= longest / 2 && correlation(a.subarray(0, length), b.subarray(0, length)) >= sameSound) return true
  }
  return false
}

const liveliness = ({ statistics }: Fingerprint) =>
  statistics.subarray(width).reduce((sum, spread) => sum + spread, 0) / width

const distance = (a: Float32Array, b: Float32Array) =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - (b[i] as number)) ** 2, 0) / a.length)

/** Pearson's; 0 where one of them never changes. */
function correlation(a: Float32Array, b: Float32Array): number {
  let [sumA, sumB, aa, bb, ab] = [0, 0, 0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number]
    sumA += x
    sumB += y
    aa += x * x
    bb += y * y
    ab += x * y
  }
  const n = a.length
  const norm = Math.sqrt((aa - sumA ** 2 / n) * (bb - sumB ** 2 / n))
  return norm > 1e-9 ? (ab - (sumA * sumB) / n) / norm : 0
}
