/** Advice on a dataset: how long its clips should be, how consistent its pairs are, and what to fix first. */
import { consistencyOf } from '../audio/analysis/pair-comparison.ts'
import { sum } from '../platform/statistics.ts'
import { channelFindings } from './channel-findings.ts'
import { soundFindings } from './findings.ts'
import { type Bucket, type DatasetOptions, pairsPerClipLength, recommendedSeconds } from './fit-plan.ts'
import { type DatasetPair, durationsOf, type InspectedPair } from './pair-inspection.ts'
import { bySeverity, type Finding, findingIn } from './problem.ts'
import { duplicateFindings, outlierFindings } from './relations.ts'
import { isAudible, silenceFindings } from './silence.ts'

export type Advice = {
  /** How many pairs each clip length keeps, and the length to take; `null` where no pair is long enough. */
  buckets: Bucket[]
  recommendedSeconds: number | null
  /** The share of all change in sound that the pairs have in common, 0 to 1; `null` for fewer than three pairs. */
  agreement: number | null
  /** Warnings first. */
  findings: Finding[]
}

export function adviseOn(inspected: readonly InspectedPair[], options: DatasetOptions): Advice {
  const pairs = inspected.map(({ pair }) => pair)
  const analyzed = inspected.flatMap(({ pair, features, copies }) =>
    features && copies && isAudible(pair) ? [{ name: pair.name, caption: pair.caption, features, copies }] : [],
  )
  const buckets = pairsPerClipLength(durationsOf(pairs))
  const recommended = recommendedSeconds(durationsOf(pairs), options.seconds)
  const consistency = consistencyOf(analyzed.map(({ features }) => features.transformation))
  return {
    buckets,
    recommendedSeconds: recommended,
    agreement: consistency?.share ?? null,
    findings: [
      ...silenceFindings(pairs, options),
      ...soundFindings(pairs, options),
      ...channelFindings(pairs),
      ...duplicateFindings(analyzed),
      ...lengthFindings(pairs, recommended, options),
      ...outlierFindings(analyzed, consistency),
      ...captionFindings(pairs, options),
    ].sort(bySeverity),
  }
}

/** A pair that is at least this many times as long as a clip could be cut into several. */
const longPairClips = 2

/** Pairs that are skipped because they are too short, and pairs of which most is not used. */
function lengthFindings(
  pairs: readonly DatasetPair[],
  recommended: number | null,
  { seconds, windows }: DatasetOptions,
): Finding[] {
  const lengths = pairs.flatMap(({ name, reference, target }) =>
    reference.audio && target.audio ? [{ name, seconds: Math.min(reference.audio.seconds, target.audio.seconds) }] : [],
  )
  const short = lengths.filter((pair) => pair.seconds < seconds)
  const long = lengths.filter((pair) => pair.seconds >= longPairClips * seconds)
  const withLength = (list: typeof lengths) =>
    list.map(({ name, seconds }) => ({ name, detail: `${(Math.floor(seconds * 100) / 100).toFixed(2)} s` }))
  const counts = (which: 'used' | 'all') => sum(pairs.map(({ clips }) => clips[which]))
  return [
    ...findingIn(withLength(short), {
      kind: 'too-short',
      severity: 'warning',
      what: `Shorter than ${seconds} s and skipped`,
      hint:
        recommended !== null && recommended < seconds
          ? `--audio-duration-seconds ${recommended} uses ${pairsUsedAt(recommended, lengths)} of ${pairs.length} pairs`
          : 'use longer recordings',
    }),
    ...findingIn(windows === 'first' ? withLength(long) : [], {
      kind: 'mostly-unused',
      severity: 'hint',
      what: `Much longer than the ${seconds} s in use`,
      hint: `--windows all uses all of them: ${counts('all')} clips instead of ${counts('used')}`,
    }),
  ]
}

const pairsUsedAt = (seconds: number, lengths: readonly { seconds: number }[]) =>
  pairsPerClipLength(lengths.map((pair) => ({ reference: pair.seconds, target: pair.seconds }))).find(
    (bucket) => bucket.seconds >= seconds,
  )?.pairs ?? 0

/** In characters. The text encoder reads 1024 tokens, and an English token has about four letters. */
const longestCaption = 3000

/** Captions that repeat the trigger phrase, that are too long, and that are missing although other pairs have one. */
function captionFindings(pairs: readonly DatasetPair[], { triggerPhrase }: DatasetOptions): Finding[] {
  const trigger = triggerPhrase.trim()
  const withoutTrigger = (caption: string) =>
    (trigger && caption.startsWith(trigger) ? caption.slice(trigger.length) : caption).trim()
  const pairsWhere = (condition: (caption: string) => boolean) =>
    pairs.filter(({ caption }) => condition(withoutTrigger(caption))).map(({ name }) => ({ name }))
  const uncaptioned = pairsWhere((caption) => caption === '')
  return [
    ...findingIn(trigger ? pairsWhere((caption) => caption.toLowerCase().includes(trigger.toLowerCase())) : [], {
      kind: 'trigger-inside',
      severity: 'warning',
      what: `Trigger phrase "${trigger}" also occurs inside the caption`,
      hint: 'it is placed before every caption anyway: choose a phrase that no caption contains, or remove it from them',
    }),
    ...findingIn(
      pairsWhere((caption) => caption.length > longestCaption),
      {
        kind: 'long-caption',
        severity: 'warning',
        what: 'Caption longer than the text encoder reads',
        hint: 'describe the sound in a sentence or two',
      },
    ),
    ...findingIn(uncaptioned.length < pairs.length ? uncaptioned : [], {
      kind: 'no-caption',
      severity: 'hint',
      what: 'No caption, though others have one',
      hint: 'write captions for all pairs, or for none',
    }),
  ]
}

/** Which clip length to choose. @param seconds the length that is set. */
export function lengthAdvice(recommended: number | null, { seconds }: DatasetOptions): string {
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
