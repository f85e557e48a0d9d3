/** What the length of the clips costs: pairs that are skipped, and sound that is cut off. */
import { keptPairs } from './buckets.ts'
import type { DatasetOptions } from './dataset.ts'
import { type Finding, findingIn } from './finding.ts'
import type { DatasetPair } from './inspection.ts'

/** A pair this many times as long as its clip could be several. */
const severalClips = 2

export function lengthFindings(
  pairs: readonly DatasetPair[],
  recommended: number | null,
  { seconds }: DatasetOptions,
): Finding[] {
  const lengths = pairs.flatMap(({ name, reference, target }) =>
    reference.audio && target.audio ? [{ name, seconds: Math.min(reference.audio.seconds, target.audio.seconds) }] : [],
  )
  const short = lengths.filter((pair) => pair.seconds < seconds)
  const long = lengths.filter((pair) => pair.seconds >= severalClips * seconds)
  const detailed = (list: typeof lengths) =>
    list.map(({ name, seconds }) => ({ name, detail: `${(Math.floor(seconds * 100) / 100).toFixed(2)} s` }))
  const clips = long.reduce((sum, pair) => sum + Math.floor(pair.seconds / seconds), 0)
  return [
    ...findingIn(detailed(short), {
      kind: 'too-short',
      severity: 'warning',
      what: `Shorter than ${seconds} s and skipped`,
      hint:
        recommended !== null && recommended < seconds
          ? `--audio-duration-seconds ${recommended} uses ${usedAt(recommended, lengths)} of ${pairs.length} pairs`
          : 'use longer recordings',
    }),
    ...findingIn(detailed(long), {
      kind: 'mostly-unused',
      severity: 'hint',
      what: `Much longer than the ${seconds} s that are used`,
      hint: `cut both sides into pieces of ${seconds} s: they give ${clips} pairs instead of ${long.length}`,
    }),
  ]
}

const usedAt = (seconds: number, lengths: readonly { seconds: number }[]) =>
  keptPairs(lengths.map((pair) => ({ reference: pair.seconds, target: pair.seconds }))).find(
    (bucket) => bucket.seconds >= seconds,
  )?.pairs ?? 0
