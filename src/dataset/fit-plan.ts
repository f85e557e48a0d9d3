/** How a pair is brought to the length of a clip, and how many pairs each length keeps. This is arithmetic only; `clips.ts` does the fitting. */

import { sum } from '../platform/statistics.ts'

/** What decides how a dataset is used. `seconds` is the length of a clip. */
export type DatasetOptions = {
  triggerPhrase: string
  seconds: number
  preservePitch: boolean
  normalize: boolean
  windows: WindowChoice
}

/** What is used of pairs that are longer than a clip: the beginning, consecutive clips from all of it, or a clip from a random place each time. */
export type WindowChoice = 'first' | 'all' | 'random'

export type FitOptions = Pick<DatasetOptions, 'seconds' | 'preservePitch'>

/** `factor` is the new length divided by the old one. */
export type SideFit = { how: 'as-is' } | { how: 'stretch'; factor: number } | { how: 'trim' }

export type FitPlan = { use: true; reference: SideFit; target: SideFit } | { use: false; reason: string }

/** The decoded length of each side in seconds. */
export type PairDurations = { reference: number; target: number }

/** A pair is stretched when neither side is longer than this times the clip. */
export const stretchLimit = 1.1

/** In seconds, less than a sample at any sample rate: it only absorbs rounding errors. */
const tolerance = 1e-6

/**
 * Both sides must be as long as the clip: nothing is looped or padded. When pitch is to be preserved and both are at most 10 % longer, both are
 * stretched to it, so that they stay in sync; otherwise both are trimmed at the end.
 */
export function planFit(durations: PairDurations, { seconds, preservePitch }: FitOptions): FitPlan {
  const short = (['reference', 'target'] as const).filter((side) => durations[side] < seconds - tolerance)
  if (short.length > 0)
    return { use: false, reason: short.map((side) => tooShort(side, durations[side], seconds)).join(', ') }

  const longest = Math.max(durations.reference, durations.target)
  const stretches = preservePitch && longest <= seconds * stretchLimit + tolerance
  const fit = (duration: number): SideFit => {
    if (duration <= seconds + tolerance) return { how: 'as-is' }
    return stretches ? { how: 'stretch', factor: seconds / duration } : { how: 'trim' }
  }
  return { use: true, reference: fit(durations.reference), target: fit(durations.target) }
}

/** How many clips fit into a pair that is used, one after the other. A pair that is stretched is one clip. */
export function clipsWithin({ reference, target }: PairDurations, { seconds, preservePitch }: FitOptions): number {
  const plan = planFit({ reference, target }, { seconds, preservePitch })
  if (!plan.use) return 0
  if (plan.reference.how === 'stretch' || plan.target.how === 'stretch') return 1
  return Math.floor((Math.min(reference, target) + tolerance) / seconds)
}

/** Whether clips can begin at other places than the start: both sides are longer than a clip, and are not stretched to one. */
export function isLongerThanClip({ reference, target }: PairDurations, options: FitOptions): boolean {
  const plan = planFit({ reference, target }, options)
  return plan.use && plan.reference.how === 'trim' && plan.target.how === 'trim'
}

/** Rounded down, so that a side that is slightly too short does not look long enough. */
const tooShort = (side: string, duration: number, seconds: number) =>
  `${side} has ${Math.floor(duration * 100) / 100} s of ${seconds} s`

/** How many pairs would be used with clips of that many seconds. */
export type Bucket = { seconds: number; pairs: number }

export const shortestBucket = 0.5
export const longestBucket = 60

/**
 * The longest clip length, in tenths of a second, that any pair reaches, and the longest that all pairs reach which reach any. Undefined when no
 * pair reaches the shortest length allowed.
 */
export function usableBuckets(durations: readonly PairDurations[]): { longest: Bucket; all: Bucket } | undefined {
  const buckets = durations.map(bucketOf).filter((seconds) => seconds >= shortestBucket)
  if (buckets.length === 0) return undefined
  const bucket = (seconds: number) => ({ seconds, pairs: buckets.filter((other) => other >= seconds).length })
  return { longest: bucket(Math.max(...buckets)), all: bucket(Math.min(...buckets)) }
}

/** Longer clips cost more memory and time per step than they are worth. */
const longestRecommendedSeconds = 10

/** A length that uses this share of the sound is preferred to a shorter one that uses more. */
const minUsedShare = 0.9

/** Every length in tenths of a second at which the number of pairs changes, shortest first. */
export function pairsPerClipLength(durations: readonly PairDurations[]): Bucket[] {
  const lengths = durations.map(bucketOf).filter((seconds) => seconds >= shortestBucket)
  return [...new Set(lengths)]
    .sort((a, b) => a - b)
    .map((seconds) => ({ seconds, pairs: lengths.filter((length) => length >= seconds).length }))
}

/**
 * The length that is set, unless another one uses clearly more of the sound: then the longest up to 10 s that does. It uses every pair that is used now, and
 * more sound with one clip of each pair as well as with all clips, so it does not depend on `--windows`.
 * @param current the length that is set.
 * @returns `null` when no pair reaches the shortest length.
 */
export function recommendedSeconds(durations: readonly PairDurations[], current: number): number | null {
  const lengths = durations.map(({ reference, target }) => Math.min(reference, target) + tolerance)
  const buckets = pairsPerClipLength(durations)
  if (buckets.length === 0) return null
  const usedAt = (seconds: number) => {
    const used = lengths.filter((length) => length >= seconds)
    const all = sum(used.map((length) => Math.floor(length / seconds) * seconds))
    return { pairs: used.length, first: used.length * seconds, all }
  }
  const now = usedAt(current)
  const gaining = buckets
    .map(({ seconds }) => ({ seconds: Math.min(seconds, longestRecommendedSeconds) }))
    .map(({ seconds }) => ({ seconds, ...usedAt(seconds) }))
    .filter(({ pairs, first, all }) => pairs >= now.pairs && first > now.first && all > now.all)
  const most = Math.max(now.all, ...gaining.map(({ all }) => all))
  if (now.all >= minUsedShare * most) return current
  return gaining.filter(({ all }) => all >= minUsedShare * most).at(-1)?.seconds ?? current
}

/** At most `count` of the buckets at even distances, always including the first and the last. */
export function sampleBuckets(buckets: readonly Bucket[], count: number): Bucket[] {
  if (buckets.length <= count) return [...buckets]
  const at = (i: number) => Math.round((i * (buckets.length - 1)) / (count - 1))
  return Array.from({ length: count }, (_, i) => buckets[at(i)] as Bucket)
}

/** The longest clip length that a pair reaches, rounded down to tenths of a second. */
const bucketOf = ({ reference, target }: PairDurations) =>
  Math.floor(10 * Math.min(reference, target, longestBucket) + tolerance) / 10
