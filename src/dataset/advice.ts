/** What an experienced trainer would say after listening to all pairs: how long the clips should be, and what to fix first. */

import { consistencyOf } from '../audio/analysis/pair-comparison.ts'
import { sum } from '../platform/statistics.ts'
import { duplicateFindings, oddFindings } from './consistency-findings.ts'
import type { DatasetOptions } from './fit-plan.ts'
import { type Bucket, pairsPerClipLength, recommendedSeconds } from './fit-plan.ts'
import type { DatasetPair, InspectedPair } from './pair-inspection.ts'
import { type Finding, findingIn } from './problem.ts'
import { soundFindings } from './sound-findings.ts'

export type Advice = {
  /** How many pairs each clip length keeps, and the length to take; `null` where no pair is long enough. */
  buckets: Bucket[]
  recommendedSeconds: number | null
  /** The share of all change in sound that the pairs have in common, 0 to 1; `null` for fewer than three pairs. */
  agreement: number | null
  /** What to fix first comes first. */
  findings: Finding[]
}

export function adviseOn(inspected: readonly InspectedPair[], options: DatasetOptions): Advice {
  const pairs = inspected.map(({ pair }) => pair)
  const heard = inspected.flatMap(({ pair, features }) => (features ? [{ pair, features }] : []))
  const buckets = pairsPerClipLength(durationsOf(pairs))
  const recommended = recommendedSeconds(buckets)
  const agreement = consistencyOf(heard.map(({ features }) => features.transformation))
  return {
    buckets,
    recommendedSeconds: recommended,
    agreement: agreement?.share ?? null,
    findings: [
      ...soundFindings(pairs, options),
      ...duplicateFindings(heard),
      ...lengthFindings(pairs, recommended, options),
      ...oddFindings(heard, agreement),
      ...captionFindings(pairs, options),
    ].sort((a, b) => weight[a.severity] - weight[b.severity]),
  }
}

const weight = { warning: 0, hint: 1 }

const durationsOf = (pairs: readonly DatasetPair[]) =>
  pairs.flatMap(({ reference, target }) =>
    reference.audio && target.audio ? [{ reference: reference.audio.seconds, target: target.audio.seconds }] : [],
  )

/** What is wrong with words: captions that are missing here and there, too long, or at odds with the trigger phrase. */

/** The text encoder reads 1024 tokens; a token of English has about four letters. */
const longestCaption = 3000

export function captionFindings(pairs: readonly DatasetPair[], { triggerPhrase }: DatasetOptions): Finding[] {
  const trigger = triggerPhrase.trim()
  const own = (caption: string) => (trigger && caption.startsWith(trigger) ? caption.slice(trigger.length) : caption)
  const which = (is: (own: string) => boolean) =>
    pairs.filter(({ caption }) => is(own(caption).trim())).map(({ name }) => ({ name }))
  const bare = which((caption) => caption === '')
  const some = bare.length > 0 && bare.length < pairs.length
  return [
    ...findingIn(trigger ? which((caption) => caption.toLowerCase().includes(trigger.toLowerCase())) : [], {
      kind: 'trigger-inside',
      severity: 'warning',
      what: `Trigger phrase "${trigger}" repeated or spelled differently`,
      hint: 'it is added before every caption: remove it from the captions, or spell it the same way at their start',
    }),
    ...findingIn(
      which((caption) => caption.length > longestCaption),
      {
        kind: 'long-caption',
        severity: 'warning',
        what: 'Caption longer than the text encoder reads',
        hint: 'a sentence or two of what is heard is enough',
      },
    ),
    ...findingIn(some ? bare : [], {
      kind: 'no-caption',
      severity: 'hint',
      what: 'No caption, though others have one',
      hint: 'write captions for all pairs, or for none',
    }),
  ]
}

/** What the length of the clips costs: pairs that are skipped, and sound that is cut off. */

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
  const clips = sum(long.map((pair) => Math.floor(pair.seconds / seconds)))
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
      what: `Much longer than the ${seconds} s in use`,
      hint: `cut both sides into pieces of ${seconds} s: they give ${clips} pairs instead of ${long.length}`,
    }),
  ]
}

const usedAt = (seconds: number, lengths: readonly { seconds: number }[]) =>
  pairsPerClipLength(lengths.map((pair) => ({ reference: pair.seconds, target: pair.seconds }))).find(
    (bucket) => bucket.seconds >= seconds,
  )?.pairs ?? 0

/** Which clip length to choose. @param seconds the length that is set. */
export function lengthAdvice(recommended: number | null, seconds: number): string {
  if (recommended === null) return 'no pair is long enough for any clip length'
  if (recommended === seconds) return `${seconds} s is a good choice`
  return `recommended: --audio-duration-seconds ${recommended} (now ${seconds})`
}

/** How much of the change in sound all pairs have in common. @param share 0 to 1. */
export function consistencyText(share: number): string {
  const percent = `${Math.round(share * 100)} %`
  if (share >= 0.7)
    return `The pairs change their sounds in nearly the same way: ${percent} of the change is common to all.`
  if (share >= 0.3) return `The pairs change their sounds in similar ways: ${percent} of the change is common to all.`
  return `The pairs change their sounds in different ways: only ${percent} of the change is common to all.`
}
