/** Compares a reference with its target, and what the pairs of a dataset do to their references. */
import { mean } from '../../platform/statistics.ts'
import { sampleCount, type Waveform } from '../waveform.ts'
import { type Alignment, align } from './alignment.ts'
import { channelOf, mixToMono } from './channels.ts'
import {
  alignSpectrograms,
  bandGroupStatistics,
  logMelDistance,
  type Spectrogram,
  spectrogramOf,
} from './spectrogram.ts'

export type PairComparison = Alignment & {
  /** `logMelDistance` of the target from its reference, in decibels; `null` for silence. */
  distance: number | null
}

/** Larger lags are not searched, in seconds. */
export const searchedLagSeconds = 3

/**
 * How the beginnings of both sides compare, and what the target changes, by which pairs are compared with each other.
 * @param options.targetLater how much later in its recording that of the target begins, in seconds. The lag is that of the recordings.
 */
export function comparePair(
  reference: Waveform,
  target: Waveform,
  { targetLater = 0 } = {},
): { comparison: PairComparison; transformation: Transformation } {
  const [referenceMix, targetMix] = [mixToMono(reference), mixToMono(target)]
  const [referenceMono, targetMono] = [referenceMix.mono, targetMix.mono]
  const channelPairs = referenceMix.channelsCancel || targetMix.channelsCancel ? pairChannels(reference, target) : []
  const versions = [[referenceMono, targetMono] as const, ...channelPairs]
  const { sounds, alignment } = alignBest(versions.flatMap((version) => placements(version, targetLater)))
  const [referenceSpectrogram, targetSpectrogram] = [spectrogramOf(sounds[0]), spectrogramOf(sounds[1])]
  const { offset, ...measured } = alignment
  const aligned = alignSpectrograms(referenceSpectrogram, targetSpectrogram, (measured.lagSeconds ?? offset) - offset)
  return {
    comparison: { ...measured, distance: logMelDistance(...aligned) },
    transformation: transformationOf(...aligned),
  }
}

type Sounds = readonly [reference: Waveform, target: Waveform]

/** Each channel of the reference with that of the target. They are compared where the channels of a side cancel each other. */
function pairChannels(reference: Waveform, target: Waveform): Sounds[] {
  const channelCount = Math.min(reference.channels.length, target.channels.length)
  return Array.from({ length: channelCount }, (_, c) => [channelOf(reference, c), channelOf(target, c)] as const)
}

/** `offset` is how much later in its recording the target begins than the reference, in seconds. */
type Placement = { sounds: Sounds; offset: number }

/** Beginnings of both sides that may belong together: at the same time of both recordings, and, where these are far apart, each at its first sound. */
function placements([reference, target]: Sounds, targetLater: number): Placement[] {
  if (targetLater === 0) return [{ sounds: [reference, target], offset: 0 }]
  const sounds = [without(reference, targetLater), without(target, -targetLater)] as const
  const atFirstSound: Placement = { sounds: [reference, target], offset: targetLater }
  if (sounds.some((sound) => sampleCount(sound) === 0)) return [atFirstSound]
  return [{ sounds, offset: 0 }, ...(Math.abs(targetLater) > 1 ? [atFirstSound] : [])]
}

/** Without the first `seconds`. */
const without = ({ sampleRate, channels }: Waveform, seconds: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.subarray(Math.max(0, Math.round(seconds * sampleRate)))),
})

/** Of several versions of a pair, the one whose sides match best. */
function alignBest(versions: Placement[]): { sounds: Sounds; alignment: Alignment & { offset: number } } {
  const aligned = versions.map(({ sounds, offset }) => {
    const { lagSeconds, ...match } = align(...sounds, { maxLagSeconds: searchedLagSeconds })
    return { sounds, alignment: { ...match, offset, lagSeconds: lagSeconds === null ? null : lagSeconds + offset } }
  })
  return aligned.reduce((best, next) => (isBetter(next.alignment, best.alignment) ? next : best))
}

const isBetter = (a: Alignment, b: Alignment) =>
  a.common === b.common ? a.waveformMatch > b.waveformMatch : a.common === 'waveform' || b.common === 'nothing'

/**
 * What a pair does to a sound, in 32 numbers: by how many decibels the level of each band group changes, less the mean change in level, and by how
 * much its standard deviation over time changes.
 */
export type Transformation = Float32Array

function transformationOf(reference: Spectrogram, target: Spectrogram): Transformation {
  const frames = Math.min(reference.frames, target.frames)
  const [before, after] = [bandGroupStatistics(reference, frames), bandGroupStatistics(target, frames)]
  const level = after.means.map((mean, i) => mean - (before.means[i] as number))
  const overall = mean(level)
  const deviation = after.deviations.map((deviation, i) => deviation - (before.deviations[i] as number))
  return Float32Array.from([...level.map((change) => change - overall), ...deviation])
}

export type Consistency = {
  /** The share of all change that every pair has in common: 1 for one and the same transformation, below 0.3 for hardly any. */
  share: number
  /** For each pair, in the order given, the cosine similarity of its transformation with the sum of the others, −1 to 1. */
  similarities: number[]
}

/** How alike transformations are. Undefined for fewer than three: of two, neither can be called the outlier. */
export function consistencyOf(transformations: readonly Transformation[]): Consistency | undefined {
  if (transformations.length < 3) return undefined
  const total = sumOf(transformations)
  const common = total.map((value) => value / transformations.length)
  const meanPower = mean(transformations.map((transformation) => dot(transformation, transformation)))
  const similarities = transformations.map((transformation) => {
    const others = total.map((value, i) => value - (transformation[i] as number))
    return cosine(transformation, others)
  })
  return { share: meanPower > 0 ? dot(common, common) / meanPower : 1, similarities }
}

function sumOf(vectors: readonly Float32Array[]): Float32Array {
  const sum = new Float32Array(vectors[0]?.length ?? 0)
  for (const vector of vectors) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (vector[i] as number)
  return sum
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)

/** 0 where one of them is zero. */
function cosine(a: Float32Array, b: Float32Array): number {
  const norm = Math.sqrt(dot(a, a) * dot(b, b))
  return norm > 0 ? dot(a, b) / norm : 0
}
