/** What became of a reference: ignored, copied or transformed, with the numbers behind the word. And which checkpoint did best. */
import { sampleCount, type Waveform } from '../waveform.ts'
import { align, sameTimingThreshold } from './alignment.ts'
import { alignSpectrograms, framesPerSecond, maxOf, type Spectrogram, logMelDistance, spectrogramOf, toMono } from './spectrogram.ts'

export type VerdictWord = 'ignored' | 'copied' | 'transformed'

export type Verdict = {
  word: VerdictWord
  /** How closely the preview follows the reference: in the envelopes of its bands, and in where sounds begin. 1 is exactly, about 0 not at all. */
  follows: number
  timing: number
  /** How much later than the reference it is. */
  lagSeconds: number
  /** Spectral distances in decibels; `null` for silence. */
  toReference: number | null
  toTarget?: number | null
  toBase?: number | null
}

export type JudgeInput = {
  preview: Waveform
  reference: Waveform
  /** What the reference should become, where that is known. */
  target?: Waveform | undefined
  /** What the base makes of the reference without any LoRA. */
  base?: Waveform | undefined
  /** How far the targets of the training pairs are from their references: the way to go where the target is not known. */
  pairDistance?: number | undefined
  /** How far a sound is from itself after it went through the autoencoder and the vocoder: no copy comes nearer. */
  roundTripDistance?: number | undefined
}

/** Unrelated sounds rarely reach it; a recording that became a radio stays above 0.7, though its noise and its clipping are new. */
const sameEnvelopes = 0.5

/** How far a target usually is from its reference, in decibels, where nothing better is known: radios, rooms, other instruments. */
const usualWay = 7

/** Judges the part that all of them have. */
export function judge({ preview, reference, target, base, pairDistance, roundTripDistance = 0 }: JudgeInput): Verdict {
  const [heardMono, originalMono] = [mono(preview), mono(reference)]
  const [heard, original] = [spectrogramOf(heardMono), spectrogramOf(originalMono)]
  const { correlation, lagSeconds } = envelopeCorrelation(original, heard)
  const distanceTo = (other: Spectrogram) => logMelDistance(...alignSpectrograms(other, heard, lagSeconds))
  const toReference = distanceTo(original)
  const wanted = target && spectrogramOf(mono(target))
  const way = (wanted && logMelDistance(original, wanted)) ?? pairDistance ?? usualWay
  const timing = timingOf(originalMono, heardMono)
  const follows = Math.max(correlation / sameEnvelopes, timing / sameTimingThreshold) >= 1
  return {
    word: wordFor(follows, toReference, (roundTripDistance + way) / 2),
    follows: correlation,
    timing,
    lagSeconds,
    toReference,
    ...(wanted && { toTarget: distanceTo(wanted) }),
    ...(base && { toBase: logMelDistance(spectrogramOf(mono(base)), heard) }),
  }
}

/** Sounds that begin together, but a quarter of a second later, are another take. */
function timingOf(reference: Waveform, preview: Waveform): number {
  const { lagSeconds, timingMatch } = align(reference, preview)
  return Math.abs(lagSeconds ?? 0) <= maxLagSeconds ? timingMatch : 0
}

/** Half way from the nearest copy to the target, a copy becomes a transformation. */
function wordFor(follows: boolean, toReference: number | null, halfWay: number): VerdictWord {
  if (!follows || toReference === null) return 'ignored'
  return toReference < halfWay ? 'copied' : 'transformed'
}

const mono = (waveform: Waveform) => (sampleCount(waveform) > 0 ? toMono(waveform) : waveform)

/** A step at which previews were made; `fixedLoss` where it was measured. */
export type CheckpointCandidate = { step: number; verdicts: readonly Verdict[]; fixedLoss?: number | undefined }

export type BestCheckpoint = { step: number; reason: string }

/**
 * The checkpoint to keep: most references transformed, then nearest to the known targets, then the lowest loss over fixed draws, then the latest.
 * `undefined` where there is nothing to choose from.
 */
export function bestCheckpoint(candidates: readonly CheckpointCandidate[]): BestCheckpoint | undefined {
  const trained = candidates.filter(({ step }) => step > 0)
  const [best] = [...trained].sort(
    (a, b) =>
      transformedOf(b) - transformedOf(a) ||
      ascending(distanceToTargets(a), distanceToTargets(b)) ||
      ascending(a.fixedLoss, b.fixedLoss) ||
      b.step - a.step,
  )
  return best && { step: best.step, reason: reasonFor(best) }
}

const transformedOf = ({ verdicts }: CheckpointCandidate) => verdicts.filter(({ word }) => word === 'transformed').length

function distanceToTargets({ verdicts }: CheckpointCandidate): number | undefined {
  const known = verdicts.flatMap(({ toTarget }) => (typeof toTarget === 'number' ? [toTarget] : []))
  return known.length > 0 ? known.reduce((sum, distance) => sum + distance, 0) / known.length : undefined
}

/** What is unknown comes last. */
const ascending = (a: number | undefined, b: number | undefined) => (a ?? Infinity) - (b ?? Infinity) || 0

function reasonFor(best: CheckpointCandidate): string {
  const [transformed, all] = [transformedOf(best), best.verdicts.length]
  const distance = distanceToTargets(best)
  return [
    ...(all > 0 ? [`${transformed} of ${all} ${all === 1 ? 'preview' : 'previews'} transformed`] : []),
    ...(distance !== undefined ? [`${distance.toFixed(1)} dB from the target`] : []),
    ...(best.fixedLoss !== undefined ? [`fixed loss ${best.fixedLoss.toFixed(4)}`] : []),
  ].join(', ')
}

/** How closely one sound follows another in time, band by band, whatever each band sounds like. */

export type EnvelopeCorrelation = {
  /** 1: every band rises and falls together; about 0: they know nothing of each other. */
  correlation: number
  /** How much later the second sound is where it follows best. */
  lagSeconds: number
}

/** A preview starts with its reference; what is further off than this does not follow it. */
export const maxLagSeconds = 0.1
/** What is more than this below a sound's loudest cell is silence. */
const audibleRange = 50
const groupSize = 4

/** The envelopes of 16 groups of mel bands are correlated, and count by how much they move in the first sound. */
export function envelopeCorrelation(first: Spectrogram, second: Spectrogram): EnvelopeCorrelation {
  const [before, after] = [envelopes(first), envelopes(second)]
  const reach = Math.round(maxLagSeconds * framesPerSecond)
  let best: EnvelopeCorrelation = { correlation: -1, lagSeconds: 0 }
  for (let lag = -reach; lag <= reach; lag++) {
    const correlation = meanCorrelation(before, after, lag)
    if (correlation > best.correlation) best = { correlation, lagSeconds: lag / framesPerSecond }
  }
  return best
}

/** One envelope per group of bands, decibels above the floor. */
function envelopes({ frames, bands, decibels }: Spectrogram): Float32Array[] {
  const floor = maxOf(decibels) - audibleRange
  return Array.from({ length: bands / groupSize }, (_, group) =>
    Float32Array.from({ length: frames }, (_, frame) => {
      const at = frame * bands + group * groupSize
      const cells = decibels.subarray(at, at + groupSize)
      return cells.reduce((sum, level) => sum + Math.max(level, floor) - floor, 0) / groupSize
    }),
  )
}

function meanCorrelation(before: readonly Float32Array[], after: readonly Float32Array[], lag: number): number {
  let [sum, weights] = [0, 0]
  before.forEach((envelope, group) => {
    const first = envelope.subarray(Math.max(0, -lag))
    const second = (after[group] as Float32Array).subarray(Math.max(0, lag))
    const length = Math.min(first.length, second.length)
    const { correlation, spread } = pearson(first.subarray(0, length), second.subarray(0, length))
    sum += correlation * spread
    weights += spread
  })
  return weights > 0 ? sum / weights : 0
}

/** `spread` is the standard deviation of the first; a band that stands still correlates with nothing. */
function pearson(first: Float32Array, second: Float32Array): { correlation: number; spread: number } {
  const [meanFirst, meanSecond] = [mean(first), mean(second)]
  let [xx, yy, xy] = [0, 0, 0]
  for (let i = 0; i < first.length; i++) {
    const [x, y] = [(first[i] as number) - meanFirst, (second[i] as number) - meanSecond]
    xx += x * x
    yy += y * y
    xy += x * y
  }
  const correlation = xx > 1e-6 && yy > 1e-6 ? xy / Math.sqrt(xx * yy) : 0
  return { correlation, spread: Math.sqrt(xx / Math.max(1, first.length)) }
}

const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
