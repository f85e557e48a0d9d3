/** Findings on the sound of each pair, and on how the pairs of a dataset relate: duplicates, and pairs whose transformation differs. */
import { findDuplicates } from '../audio/analysis/duplicates.ts'
import type { SoundMeasurements } from '../audio/analysis/measurement.ts'
import type { Consistency, PairFeatures } from '../audio/analysis/pair-comparison.ts'
import { countText } from '../platform/text.ts'
import type { DatasetOptions } from './fit-plan.ts'
import type { DatasetPair } from './pair-inspection.ts'
import { type Finding, findingIn } from './problem.ts'

/** Half the length of a latent frame: a larger lag moves sound from one frame into the next. */
export const tolerableLagSeconds = 0.02
/** A target with a smaller `logMelDistance` from its reference sounds the same. Lossy codecs alone cause 0.3 dB. */
const unchangedDecibels = 1
const clippedPlacesPerSecond = 1
const mostlySilentShare = 0.5
const lateStartSeconds = 0.5
const noticeableOffset = 0.02
/** The model works with frequencies up to 8 kHz. */
const lowestSampleRate = 16_000
/** In LU, between the quietest and the loudest target. */
const unevenLoudnessRange = 12

/** The findings that matter most come first. */
export function soundFindings(pairs: readonly DatasetPair[], { normalize }: DatasetOptions): Finding[] {
  const pairsWith = (detail: (pair: DatasetPair) => string | undefined) => withDetails(pairs, detail)
  return [
    ...findingIn(pairsWith(unrelated), {
      kind: 'unrelated',
      severity: 'warning',
      what: 'Reference and target seem to be different performances',
      hint: 'check that _start and _end are the same performance; a model cannot learn from two different ones',
    }),
    ...findingIn(pairsWith(outOfSync), {
      kind: 'out-of-sync',
      severity: 'warning',
      what: 'Out of sync',
      hint: 'align both files; .aac and .mp3 add 20 to 50 ms at the start, .wav and .flac do not',
    }),
    ...findingIn(pairsWith(unchanged), {
      kind: 'unchanged',
      severity: 'warning',
      what: 'Target sounds like its reference',
      hint: 'they teach the model to change nothing: leave them out, unless some sounds should stay unchanged',
    }),
    ...findingIn(
      pairsWith((pair) => clipped(pair.target)),
      {
        kind: 'clipped-target',
        severity: 'warning',
        what: 'Clipped target',
        hint: 'the LoRA learns to clip: export the targets again at a lower level, unless distortion is intended',
      },
    ),
    ...findingIn(
      pairsWith((pair) => clipped(pair.reference)),
      {
        kind: 'clipped-reference',
        severity: 'hint',
        what: 'Clipped reference',
        hint: 'export it again at a lower level',
      },
    ),
    ...findingIn(pairsWith(silent), {
      kind: 'silence',
      severity: 'hint',
      what: 'Silent for half of the time, or starting late',
      hint: 'trim the silence, at the same places on both sides',
    }),
    ...findingIn(pairsWith(offset), {
      kind: 'offset',
      severity: 'hint',
      what: 'DC offset',
      hint: 'remove it with a high-pass filter at 20 Hz',
    }),
    ...findingIn(pairsWith(lowRate), {
      kind: 'low-rate',
      severity: 'hint',
      what: `Sample rate below the ${lowestSampleRate / 1000} kHz of the model`,
      hint: 'use the originals, if they have a higher sample rate',
    }),
    ...(normalize ? [] : unevenLoudness(pairs)),
  ]
}

/** The pairs for which `detail` is defined; an empty detail is left out. */
const withDetails = (pairs: readonly DatasetPair[], detail: (pair: DatasetPair) => string | undefined) =>
  pairs.flatMap((pair) => {
    const found = detail(pair)
    return found === undefined ? [] : [found === '' ? { name: pair.name } : { name: pair.name, detail: found }]
  })

const isAudible = ({ reference, target }: DatasetPair) => ![reference, target].some(({ audio }) => audio?.silent)

const unrelated = (pair: DatasetPair) => (pair.sound?.common === 'nothing' && isAudible(pair) ? '' : undefined)

function outOfSync({ sound }: DatasetPair): string | undefined {
  if (!sound || sound.lagSeconds === null || Math.abs(sound.lagSeconds) < tolerableLagSeconds) return undefined
  return lagText(sound.lagSeconds)
}

/** `+37 ms`: the target is later. */
export const lagText = (seconds: number) => {
  const milliseconds = Math.round(seconds * 1000)
  return `${milliseconds > 0 ? '+' : milliseconds < 0 ? '−' : ''}${Math.abs(milliseconds)} ms`
}

function unchanged({ sound }: DatasetPair): string | undefined {
  if (!sound || sound.common === 'nothing' || sound.distance === null || sound.distance >= unchangedDecibels)
    return undefined
  return `${sound.distance.toFixed(1)} dB`
}

type Side = DatasetPair['reference']

function clipped({ audio }: Side): string | undefined {
  if (!audio?.sound) return undefined
  const { clippedPlaces } = audio.sound
  return clippedPlaces >= Math.max(1, clippedPlacesPerSecond * audio.seconds)
    ? countText(clippedPlaces, 'place')
    : undefined
}

/** How long both sides are silent. A side that is silent as a whole is reported as a problem. */
function silent(pair: DatasetPair): string | undefined {
  const sounds = soundsOf(pair)
  if (sounds.length < 2 || !isAudible(pair)) return undefined
  const share = Math.min(...sounds.map(({ silentShare }) => silentShare))
  const start = Math.min(...sounds.map(({ silentStartSeconds }) => silentStartSeconds))
  if (share >= mostlySilentShare) return `${Math.round(share * 100)} % silent`
  return start >= lateStartSeconds ? `starts after ${start.toFixed(1)} s` : undefined
}

function offset(pair: DatasetPair): string | undefined {
  const [largest = 0] = soundsOf(pair)
    .map(({ offset }) => offset)
    .sort((a, b) => Math.abs(b) - Math.abs(a))
  return Math.abs(largest) >= noticeableOffset ? `${Math.round(Math.abs(largest) * 100)} % of full scale` : undefined
}

function lowRate({ reference, target }: DatasetPair): string | undefined {
  const rates = [reference, target].flatMap(({ audio }) => (audio ? [audio.sampleRate] : []))
  const lowest = Math.min(...rates)
  return lowest < lowestSampleRate ? `${lowest / 1000} kHz` : undefined
}

const soundsOf = ({ reference, target }: DatasetPair): SoundMeasurements[] =>
  [reference, target].flatMap(({ audio }) => (audio?.sound ? [audio.sound] : []))

/** The quietest and the loudest target. It matters only without normalization, which makes the peaks equal. */
function unevenLoudness(pairs: readonly DatasetPair[]): Finding[] {
  const measured = pairs.flatMap(({ name, target }) => {
    const loudness = target.audio?.sound?.loudness
    return typeof loudness === 'number' ? [{ name, loudness }] : []
  })
  const sorted = measured.sort((a, b) => a.loudness - b.loudness)
  const [quietest, loudest] = [sorted[0], sorted.at(-1)]
  if (!quietest || !loudest || loudest.loudness - quietest.loudness < unevenLoudnessRange) return []
  return findingIn(
    [quietest, loudest].map(({ name, loudness }) => ({ name, detail: `${loudness.toFixed(1)} LUFS` })),
    {
      kind: 'uneven-loudness',
      severity: 'hint',
      what: 'Uneven loudness',
      hint: 'make them equally loud, or leave --audio-normalize on',
    },
  )
}

type AnalyzedPair = { name: string; features: PairFeatures }

/** A duplicate reference with another target is a contradiction. A duplicate pair only counts twice. */
export function duplicateFindings(pairs: readonly AnalyzedPair[]): Finding[] {
  const duplicatesOf = (side: 'reference' | 'target') => findDuplicates(pairs.map(({ features }) => features[side]))
  const key = ([original, copy]: readonly [number, number]) => `${original} ${copy}`
  const sameTargets = new Set(duplicatesOf('target').map(key))
  const sameReferences = duplicatesOf('reference')
  const isWholePair = (duplicate: readonly [number, number]) => sameTargets.has(key(duplicate))
  const nameOf = (index: number) => pairs[index]?.name as string
  const copiesIn = (duplicates: readonly [number, number][]) => {
    const originals = new Map<number, number>()
    for (const [original, copy] of duplicates) if (!originals.has(copy)) originals.set(copy, original)
    return [...originals].map(([copy, original]) => ({ name: nameOf(copy), detail: `(as ${nameOf(original)})` }))
  }
  return [
    ...findingIn(copiesIn(sameReferences.filter((duplicate) => !isWholePair(duplicate))), {
      kind: 'contradiction',
      severity: 'warning',
      what: 'One reference, two targets',
      hint: 'the model cannot know which one is meant: keep one of them, or give them different captions',
    }),
    ...findingIn(copiesIn(sameReferences.filter(isWholePair)), {
      kind: 'duplicate',
      severity: 'hint',
      what: 'Near-duplicates',
      hint: 'a duplicate counts twice in training: leave one out',
    }),
  ]
}

/** With a smaller share in common, a dataset has no common transformation, and therefore no outliers. */
const minCommonShare = 0.3

/** Pairs whose transformation points away from that of the others, or all pairs where they have little in common. */
export function outlierFindings(pairs: readonly AnalyzedPair[], consistency: Consistency | undefined): Finding[] {
  if (!consistency) return []
  if (consistency.share < minCommonShare)
    return findingIn(
      pairs.map(({ name }) => ({ name })),
      {
        kind: 'no-common-change',
        severity: 'hint',
        what: `Inconsistent pairs (${Math.round(consistency.share * 100)} % of the change is common to all)`,
        hint: 'one LoRA learns one transformation: split the dataset, or give each kind its own captions',
      },
    )
  const outliers = pairs.filter((_, i) => (consistency.similarities[i] as number) < 0)
  return findingIn(
    outliers.map(({ name }) => ({ name })),
    {
      kind: 'odd',
      severity: 'hint',
      what: 'Changed differently from the other pairs',
      hint: 'listen to them: _start and _end may be swapped, or another effect was used',
    },
  )
}
