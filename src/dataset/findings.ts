/** Findings on the sound of each pair: how its sides relate, and their defects. */
import type { SoundMeasurements } from '../audio/analysis/measurement.ts'
import { searchedLagSeconds } from '../audio/analysis/pair-comparison.ts'
import { shortestTimedSeconds } from '../audio/analysis/timing.ts'
import { countText, decimalText } from '../platform/text.ts'
import type { DatasetOptions } from './fit-plan.ts'
import type { DatasetPair, DatasetSide } from './pair-inspection.ts'
import { pairsWhere, sidesWhere } from './pair-selection.ts'
import { type Finding, findingIn } from './problem.ts'
import { isAudible } from './silence.ts'

/** Half the length of a latent frame: a larger lag moves sound from one frame into the next. */
export const tolerableLagSeconds = 0.02
/** A target with a smaller `logMelDistance` from its reference sounds the same. Lossy codecs alone cause 0.3 dB. */
export const unchangedDecibels = 1
const clippedPlacesPerSecond = 1
/** A float file with a higher peak, in dBFS, has a click in it or another scale. Mixes and recorders stay below. */
const highestPeakDbfs = 20
const noticeableOffset = 0.02
/** The model works with frequencies up to 8 kHz. */
const lowestSampleRate = 16_000
/** In LU, between the quietest and the loudest target. */
const unevenLoudnessRange = 12

/** The advice of findings that a repair removes. */
const repaired = 'ltx-a2a fix-dataset repairs it'

/** The findings that matter most come first. */
export function soundFindings(pairs: readonly DatasetPair[], { normalize }: DatasetOptions): Finding[] {
  const pairsWith = (detail: (pair: DatasetPair) => string | undefined) => pairsWhere(pairs, detail)
  return [
    ...findingIn(
      pairsWith((pair) => sidesWhere(pair, ({ audio }) => (audio?.peakDbfs ?? 0) > highestPeakDbfs)),
      {
        kind: 'far-above-full-scale',
        severity: 'warning',
        what: `Peak more than ${highestPeakDbfs} dB above full scale`,
        hint: 'look for a click, which makes everything else quiet, or export the file again at a lower level',
      },
    ),
    ...findingIn(pairsWith(unrelated), {
      kind: 'unrelated',
      severity: 'warning',
      what: 'Reference and target seem to be different performances',
      hint: `check that _start and _end are the same performance; a model cannot learn from two different ones. Sides that are more than ${searchedLagSeconds} s apart look different, too`,
    }),
    ...findingIn(pairsWith(drifting), {
      kind: 'drift',
      severity: 'warning',
      what: 'The sides drift apart',
      hint: `two recorders had different clocks: ${repaired}`,
    }),
    ...findingIn(pairsWith(outOfSync), {
      kind: 'out-of-sync',
      severity: 'warning',
      what: 'Out of sync',
      hint: `${repaired}. Or export both as .wav or .flac: .aac and .mp3 can add 20 to 50 ms at the start, and .wma can lose as much`,
    }),
    ...findingIn(pairsWith(unchanged), {
      kind: 'unchanged',
      severity: 'warning',
      what: 'Target sounds like its reference',
      hint: 'such a pair teaches the model to change nothing: leave it out, unless some sounds should stay unchanged',
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

/** Whether reference and target are different performances. */
export const isUnrelated = (pair: DatasetPair): boolean => pair.sound?.common === 'nothing' && isAudible(pair)

function unrelated(pair: DatasetPair): string | undefined {
  if (!isUnrelated(pair)) return undefined
  const seconds = Math.min(...[pair.reference, pair.target].map(({ audio }) => audio?.seconds ?? 0))
  return seconds > smallestDriftingSeconds && seconds < shortestTimedSeconds
    ? `(or drifting: ${seconds.toFixed(1)} s are too short to measure it)`
    : ''
}

/** In shorter recordings, the largest drift that is repaired leaves the match of the sides. */
const smallestDriftingSeconds = 3

function drifting(pair: DatasetPair): string | undefined {
  const { sound } = pair
  if (!isAudible(pair) || sound?.driftPpm === undefined) return undefined
  const lag = sound.lagSeconds !== null && Math.abs(sound.lagSeconds) >= tolerableLagSeconds
  return `${driftText(sound.driftPpm)}${lag ? `, from ${lagText(sound.lagSeconds as number)} on` : ''}`
}

/** "drift of 200.0 ppm (the target falls behind)", from how much more slowly the target plays. */
export const driftText = (ppm: number) =>
  `drift of ${decimalText(ppm, 1)} ppm (the target ${ppm > 0 ? 'falls behind' : 'runs ahead'})`

function outOfSync(pair: DatasetPair): string | undefined {
  const { sound } = pair
  if (!isAudible(pair) || sound?.driftPpm !== undefined) return undefined
  if (!sound || sound.lagSeconds === null || Math.abs(sound.lagSeconds) < tolerableLagSeconds) return undefined
  return lagText(sound.lagSeconds)
}

/** `+37 ms`: the target is later. */
export const lagText = (seconds: number) => {
  const milliseconds = Math.round(seconds * 1000)
  return `${milliseconds > 0 ? '+' : milliseconds < 0 ? '−' : ''}${Math.abs(milliseconds)} ms`
}

function unchanged(pair: DatasetPair): string | undefined {
  const { sound } = pair
  if (!isAudible(pair)) return undefined
  if (!sound || sound.common === 'nothing' || sound.distance === null || sound.distance >= unchangedDecibels)
    return undefined
  return `${sound.distance.toFixed(1)} dB`
}

function clipped({ audio }: DatasetSide): string | undefined {
  if (!audio?.sound) return undefined
  const { clippedPlaces } = audio.sound
  return clippedPlaces >= Math.max(1, clippedPlacesPerSecond * audio.seconds)
    ? countText(clippedPlaces, 'place')
    : undefined
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
      hint: `leave --audio-normalize on, or make them equally loud: ${repaired}`,
    },
  )
}
