/** How many pairs each clip length would keep, and which length to take. Arithmetic only. */
import { type Bucket, longestBucket, type PairDurations, shortestBucket } from './fit-plan.ts'

/** Longer clips cost more memory and time per step than they teach. */
const sensibleSeconds = 10

/** A length that keeps this share of the pairs is better than a shorter one that keeps them all. */
const keptShare = 0.9

/** Every length in tenths of a second at which the number of pairs changes, shortest first. */
export function keptPairs(durations: readonly PairDurations[]): Bucket[] {
  const lengths = durations.map(bucketOf).filter((seconds) => seconds >= shortestBucket)
  return [...new Set(lengths)]
    .sort((a, b) => a - b)
    .map((seconds) => ({ seconds, pairs: lengths.filter((length) => length >= seconds).length }))
}

/** The longest sensible length that keeps nearly all pairs; `null` when no pair fills the shortest. */
export function recommendedSeconds(kept: readonly Bucket[]): number | null {
  const [all] = kept
  if (!all) return null
  const enough = kept.filter(({ pairs }) => pairs >= keptShare * all.pairs)
  return Math.min(sensibleSeconds, enough.at(-1)?.seconds ?? all.seconds)
}

/** At most `most` of them, the first and the last always among them. */
export function thinned(kept: readonly Bucket[], most: number): Bucket[] {
  if (kept.length <= most) return [...kept]
  return Array.from({ length: most }, (_, i) => kept[Math.round((i * (kept.length - 1)) / (most - 1))] as Bucket)
}

/** The longest bucket a pair fills, rounded down to tenths. */
const bucketOf = ({ reference, target }: PairDurations) =>
  Math.floor(10 * Math.min(reference, target, longestBucket) + 1e-6) / 10
