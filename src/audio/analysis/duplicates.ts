/**
 * Finds recordings that occur twice, even where one of them was cut, encoded or leveled differently, and recordings that have a passage in common. Places
 * that sound alike have equal hashes, so only few places are compared, wherever in their recordings they are.
 */
import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { createGroups } from '../../platform/groups.ts'
import { mean } from '../../platform/statistics.ts'
import { pearson } from './correlation.ts'
import { fingerprintBands as bands, decibel, type Fingerprint, fingerprintRate } from './fingerprint.ts'
import { createPlaceIndex, type Place } from './place-hash.ts'

/** For each recording, the smallest number of those that it belongs to. */
export type Duplicates = {
  /** Recordings of the same kind that are the same for at least half of the longer one. */
  same: number[]
  /** Recordings of any kind that have a passage in common, directly or through others. */
  related: number[]
}

/**
 * Recordings of one kind, such as references, are near-duplicates of each other only. `counterpart` is the number of the other side of the pair. Where
 * recordings are the same, their counterparts are compared at the same lag, whether or not a place in them has the same hash.
 */
export type ComparedRecording = { fingerprint: Fingerprint; kind: string; counterpart?: number }

/** A passage is this long, in frames: 3 s. Of recordings that overlap for less, half of the shorter one suffices. */
const passageFrames = 3 * fingerprintRate

/** How many places are looked up before other work of the process, such as handling signals, goes on; a comparison takes as long as some of them. */
const workAtOnce = 50_000
const comparisonWork = 20

/** @param onProgress called now and then, `done` and `total` counting recordings. When it throws, so does the search. */
export async function findDuplicates(
  recordings: readonly ComparedRecording[],
  onProgress: (progress: { done: number; total: number }) => void = () => {},
): Promise<Duplicates> {
  const fingerprints = recordings.map(({ fingerprint }) => fingerprint)
  const [same, related] = [createGroups(recordings.length), createGroups(recordings.length)]
  const areOfOneKind = (one: number, other: number) => recordings[one]?.kind === recordings[other]?.kind
  const areSame = (one: number, other: number) => same.firstOf(one) === same.firstOf(other)
  const join = (one: number, other: number) => {
    related.join(one, other)
    if (areOfOneKind(one, other)) same.join(one, other)
  }
  const compare = createComparison(fingerprints)
  const joinCounterparts = (one: number, other: number, lag: number) => {
    const [a, b] = [recordings[one]?.counterpart, recordings[other]?.counterpart]
    if (a === undefined || b === undefined || areSame(a, b)) return
    const lags = [lag, lag - 1, lag + 1] // the sides of a pair may be out of sync by some milliseconds
    if (lags.some((lag) => compare.mayBeSame(a, b, lag) && compare.whole(a, b, lag))) join(a, b)
  }
  for (const [one, other] of equalRecordings(recordings)) {
    join(one, other)
    if (areOfOneKind(one, other)) joinCounterparts(one, other, 0)
  }
  const total = recordings.length
  const index = await createPlaceIndex(fingerprints, () => onProgress({ done: 0, total }))
  let work = 0
  for (let place = 0; place < index.total; place++) {
    work++
    for (const [first, second] of index.placesLike(place)) {
      work += comparisonWork
      const [one, other] = [first.recording, second.recording]
      const lag = second.frame - first.frame
      const mayBeSame = areOfOneKind(one, other) && !areSame(one, other) && compare.mayBeSame(one, other, lag)
      if (!mayBeSame && related.firstOf(one) === related.firstOf(other)) continue
      if (!compare.passage(first, second)) continue
      related.join(one, other)
      if (!mayBeSame || !compare.whole(one, other, lag)) continue
      same.join(one, other)
      joinCounterparts(one, other, lag)
    }
    if (work < workAtOnce) continue
    work = 0
    onProgress({ done: Math.floor((total * place) / index.total), total })
    await setImmediate()
  }
  const numbers = [...recordings.keys()]
  return { same: numbers.map(same.firstOf), related: numbers.map(related.firstOf) }
}

/**
 * Pairs of recordings with the same levels in all frames. Only so are copies of steady tones found, in which no place differs from another.
 * @returns every recording with the first one of its levels, and with the first one of its kind.
 */
function equalRecordings(recordings: readonly ComparedRecording[]): [number, number][] {
  const firsts = new Map<string, number>()
  return recordings.flatMap(({ fingerprint: { levels }, kind }, i) => {
    if (levels.every((level) => level === 0)) return [] // silence
    const digest = createHash('sha256').update(levels).digest('hex')
    return [digest, `${digest} ${kind}`].flatMap((key): [number, number][] => {
      const first = firsts.get(key) ?? i
      firsts.set(key, first)
      return first === i ? [] : [[first, i]]
    })
  })
}

/** Comparisons of recordings at a lag, in frames: how much later the same sound is in the second one. */
function createComparison(fingerprints: readonly Fingerprint[]) {
  const differing = new Set<string>() // recordings that were compared as a whole, at their lag
  const overlapAt = (one: number, other: number, lag: number) => {
    const [a, b] = [fingerprints[one] as Fingerprint, fingerprints[other] as Fingerprint]
    const start = Math.max(0, -lag) // in the first
    const length = Math.min(a.frames, b.frames - lag) - start
    return { a, b, start, length }
  }
  /** Whether they overlap for at least half of the longer one, and were not compared there before. */
  const mayBeSame = (one: number, other: number, lag: number) => {
    const { a, b, length } = overlapAt(one, other, lag)
    return length >= Math.max(a.frames, b.frames) / 2 && !differing.has(`${one} ${other} ${lag}`)
  }
  return {
    mayBeSame,
    /** Whether the recordings are the same around two places. */
    passage: (first: Place, second: Place) => {
      const lag = second.frame - first.frame
      const { a, b, start, length } = overlapAt(first.recording, second.recording, lag)
      if (length < Math.min(passageFrames, Math.min(a.frames, b.frames) / 2)) return false
      const compared = Math.min(passageFrames, length)
      const latest = start + length - compared
      const from = Math.max(start, Math.min(latest, first.frame - Math.floor(compared / 2)))
      return isSame(part(a, from, compared), part(b, from + lag, compared))
    },
    /** Whether the recordings are the same wherever they overlap. */
    whole: (one: number, other: number, lag: number) => {
      const { a, b, start, length } = overlapAt(one, other, lag)
      const result = isSame(part(a, start, length), part(b, start + lag, length))
      if (!result) differing.add(`${one} ${other} ${lag}`)
      return result
    },
  }
}

const part = ({ levels }: Fingerprint, start: number, length: number) =>
  levels.subarray(start * bands, (start + length) * bands)

/** In decibels; levels further below the loudest one are clamped. */
const audibleRange = 50
/** Sounds whose means and deviations differ by more, in decibels, are of different recordings, however well they correlate. */
const maxStatisticsDistance = 3
/** A sound whose bands vary less over time, in decibels, cannot be recognized. */
const minTemporalSpread = 0.5
const sameRecordingThreshold = 0.95

/** Whether levels, `[frames, bands]` of the same length, are of the same sound. Its overall level does not matter. */
function isSame(first: Uint8Array, second: Uint8Array): boolean {
  const [a, b] = [centered(first), centered(second)]
  if (Math.min(mean(a.deviations), mean(b.deviations)) < minTemporalSpread) return false
  const statistics = [a, b].map(({ means, deviations }) => [...means, ...deviations]) as [number[], number[]]
  const distances = statistics[0].map((value, i) => value - (statistics[1][i] as number))
  if (Math.sqrt(mean(distances.map((distance) => distance ** 2))) > maxStatisticsDistance) return false
  return pearson(a.rows, b.rows).correlation >= sameRecordingThreshold
}

/** Each band in decibels less its mean over time, and the means, above the lowest audible level, and standard deviations of the bands. */
function centered(levels: Uint8Array) {
  let loudest = 0
  for (const level of levels) if (level > loudest) loudest = level
  const floor = loudest - audibleRange * decibel
  const rows = new Float32Array(levels.length)
  for (let i = 0; i < rows.length; i++) rows[i] = Math.max(0, (levels[i] as number) - floor) / decibel
  const means = new Float64Array(bands)
  const deviations = new Float64Array(bands)
  const frames = rows.length / bands
  for (let i = 0; i < rows.length; i++) means[i % bands] = (means[i % bands] as number) + (rows[i] as number) / frames
  for (let i = 0; i < rows.length; i++) {
    const value = (rows[i] as number) - (means[i % bands] as number)
    rows[i] = value
    deviations[i % bands] = (deviations[i % bands] as number) + value ** 2 / frames
  }
  return { rows, means, deviations: deviations.map(Math.sqrt) }
}
