/** What a preview with the LoRA did with its reference, compared with the base, and which checkpoint has the best previews. */

import { mean } from '../../platform/statistics.ts'
import { countText } from '../../platform/text.ts'
import { sampleCount, type Waveform } from '../waveform.ts'
import { align, sameTimingThreshold } from './alignment.ts'
import { toMono } from './channels.ts'
import { pearson } from './correlation.ts'
import {
  alignSpectrograms,
  bandGroups,
  framesPerSecond,
  logMelDistance,
  maxOf,
  type Spectrogram,
  spectrogramOf,
} from './spectrogram.ts'

/** `unchanged` is a preview that sounds like that of the base, `off-target` one that is no nearer to the known target than that of the base. */
export type VerdictWord = 'ignored' | 'copied' | 'unchanged' | 'off-target' | 'transformed'

export type Verdict = {
  /** `null` for the preview of the base: nothing was learned yet. */
  word: VerdictWord | null
  /** `envelopeCorrelation` of the preview with its reference: 1 for the same envelopes, about 0 for unrelated sounds. */
  follows: number
  /** Correlation of the onsets of both sounds, 0 to 1; 0 where they are further apart than `maxLagSeconds`. */
  timing: number
  /** How much later than the reference the preview is. */
  lagSeconds: number
  /** `logMelDistance` in decibels; `null` for silence. */
  toReference: number | null
  toTarget?: number | null
  toBase?: number | null
}

export type JudgeInput = {
  preview: Waveform
  reference: Waveform
  /** What the reference should become, where that is known. */
  target?: Waveform | undefined
  /** What the base makes of the reference without a LoRA; `preview` where the preview is that itself. */
  base?: Waveform | 'preview' | undefined
  /** The distance of the targets of the training pairs from their references. It is used where the target is not known. */
  pairDistance?: number | undefined
  /** The distance of a sound from itself after it went through the audio VAE and the vocoder: no copy can be closer. */
  reconstructionDistance?: number | undefined
}

/** Compares a preview with its reference, with the base and with the target, over the length that they have in common. */
export function judge({ preview, reference, target, base, pairDistance, reconstructionDistance }: JudgeInput): Verdict {
  const [previewMono, referenceMono] = [nonEmptyToMono(preview), nonEmptyToMono(reference)]
  const [previewSpectrogram, referenceSpectrogram] = [spectrogramOf(previewMono), spectrogramOf(referenceMono)]
  const { correlation, lagSeconds } = envelopeCorrelation(referenceSpectrogram, previewSpectrogram)
  const distanceTo = (other: Spectrogram) => logMelDistance(...alignSpectrograms(other, previewSpectrogram, lagSeconds))
  const targetSpectrogram = target && spectrogramOf(nonEmptyToMono(target))
  const baseSpectrogram = base && base !== 'preview' ? spectrogramOf(nonEmptyToMono(base)) : undefined
  const measured = {
    follows: correlation,
    timing: timingMatch(referenceMono, previewMono),
    lagSeconds,
    toReference: distanceTo(referenceSpectrogram),
    ...(targetSpectrogram && { toTarget: distanceTo(targetSpectrogram) }),
    ...(baseSpectrogram && { toBase: logMelDistance(baseSpectrogram, previewSpectrogram) }),
  }
  const targetDistance = targetSpectrogram && logMelDistance(referenceSpectrogram, targetSpectrogram)
  const word = () =>
    verdictWord(measured, {
      targetDistance: targetDistance ?? pairDistance,
      reconstructionDistance,
      baseToTarget:
        baseSpectrogram &&
        targetSpectrogram &&
        distanceFromBase(baseSpectrogram, referenceSpectrogram, targetSpectrogram),
    })
  return { word: base === 'preview' ? null : word(), ...measured }
}

/** The distance of the base's preview from the target, measured like that of a preview. */
function distanceFromBase(base: Spectrogram, reference: Spectrogram, target: Spectrogram): number | null {
  const { lagSeconds } = envelopeCorrelation(reference, base)
  return logMelDistance(...alignSpectrograms(target, base, lagSeconds))
}

const nonEmptyToMono = (waveform: Waveform) => (sampleCount(waveform) > 0 ? toMono(waveform) : waveform)

function timingMatch(reference: Waveform, preview: Waveform): number {
  const { lagSeconds, timingMatch } = align(reference, preview)
  return Math.abs(lagSeconds ?? 0) <= maxLagSeconds ? timingMatch : 0
}

/** Unrelated sounds rarely reach it. A recording and the same as a radio stay above 0.7, in spite of the radio's noise and clipping. */
const sameEnvelopesThreshold = 0.5

/** The usual distance of a target from its reference, in decibels, for radios, rooms and other instruments. */
const usualTargetDistance = 7

/** Two sounds that are closer than this, in decibels, sound the same. */
const audibleDistance = 1

/**
 * A preview that sounds like that of the base is unchanged. One without the envelopes and the onsets of its reference ignored it. One that has them
 * copied it while it is closer to the reference than the midpoint between a reconstruction and the target. From there on it is transformed, unless the
 * target is known and the base is as close to it.
 */
export function verdictWord(
  {
    follows,
    timing,
    toReference,
    toTarget,
    toBase,
  }: Pick<Verdict, 'follows' | 'timing' | 'toReference' | 'toTarget' | 'toBase'>,
  {
    targetDistance = usualTargetDistance,
    reconstructionDistance = 0,
    baseToTarget,
  }: {
    targetDistance?: number | undefined
    reconstructionDistance?: number | undefined
    /** The distance of the base's preview from the target. */
    baseToTarget?: number | null | undefined
  } = {},
): VerdictWord {
  if (typeof toBase === 'number' && toBase < audibleDistance) return 'unchanged'
  const isSamePerformance = follows >= sameEnvelopesThreshold || timing >= sameTimingThreshold
  if (!isSamePerformance || toReference === null) return 'ignored'
  if (toReference < (reconstructionDistance + targetDistance) / 2) return 'copied'
  const isOffTarget = typeof toTarget === 'number' && typeof baseToTarget === 'number' && toTarget >= baseToTarget
  return isOffTarget ? 'off-target' : 'transformed'
}

export type EnvelopeCorrelation = {
  /** 1 where all bands rise and fall together, about 0 for unrelated sounds. */
  correlation: number
  /** How much later the second sound is where the correlation is highest. */
  lagSeconds: number
}

/** A preview begins with its reference; one that is further away than this is another performance. */
export const maxLagSeconds = 0.1
/** In decibels; cells further below the loudest one of their sound are clamped. */
const audibleRange = 50

/**
 * How well two sounds rise and fall together, whatever their timbre: the mean correlation of the envelopes of 16 band groups, weighted by the standard
 * deviation of the first sound's envelopes.
 */
export function envelopeCorrelation(first: Spectrogram, second: Spectrogram): EnvelopeCorrelation {
  const [firstEnvelopes, secondEnvelopes] = [envelopesOf(first), envelopesOf(second)]
  const maxLag = Math.round(maxLagSeconds * framesPerSecond)
  let best: EnvelopeCorrelation = { correlation: -1, lagSeconds: 0 }
  for (let lag = -maxLag; lag <= maxLag; lag++) {
    const correlation = meanCorrelation(firstEnvelopes, secondEnvelopes, lag)
    if (correlation > best.correlation) best = { correlation, lagSeconds: lag / framesPerSecond }
  }
  return best
}

/** The level of each band group over time, in decibels above the floor. */
function envelopesOf({ frames, bands, decibels }: Spectrogram): Float32Array[] {
  const floor = maxOf(decibels) - audibleRange
  const size = bands / bandGroups
  return Array.from({ length: bandGroups }, (_, group) =>
    Float32Array.from({ length: frames }, (_, frame) => {
      const at = frame * bands + group * size
      const cells = decibels.subarray(at, at + size)
      return cells.reduce((sum, level) => sum + Math.max(level, floor) - floor, 0) / size
    }),
  )
}

function meanCorrelation(first: readonly Float32Array[], second: readonly Float32Array[], lag: number): number {
  let [sum, weights] = [0, 0]
  first.forEach((envelope, group) => {
    const a = envelope.subarray(Math.max(0, -lag))
    const b = (second[group] as Float32Array).subarray(Math.max(0, lag))
    const length = Math.min(a.length, b.length)
    const { correlation, deviation } = pearson(a.subarray(0, length), b.subarray(0, length))
    sum += correlation * deviation
    weights += deviation
  })
  return weights > 0 ? sum / weights : 0
}

/** A step at which the LoRA was saved and previews were rendered; a loss where it was measured. */
export type CheckpointCandidate = {
  step: number
  verdicts: readonly Verdict[]
  fixedLoss?: number | undefined
  /** The path of the LoRA. */
  lora?: string | undefined
}

export type BestCheckpoint = { step: number; reason: string; lora?: string }

/**
 * The checkpoint to keep: the one with most references transformed, then with the previews closest to the known targets, then with the lowest
 * fixed loss, then the latest. Undefined without candidates after step 0.
 */
export function bestCheckpoint(candidates: readonly CheckpointCandidate[]): BestCheckpoint | undefined {
  const trained = candidates.filter(({ step }) => step > 0)
  const [best] = [...trained].sort(
    (a, b) =>
      countTransformed(b) - countTransformed(a) ||
      compareAscending(distanceToTargets(a), distanceToTargets(b)) ||
      compareAscending(a.fixedLoss, b.fixedLoss) ||
      b.step - a.step,
  )
  return best && { step: best.step, reason: reasonFor(best), ...(best.lora !== undefined && { lora: best.lora }) }
}

const countTransformed = ({ verdicts }: CheckpointCandidate) =>
  verdicts.filter(({ word }) => word === 'transformed').length

function distanceToTargets({ verdicts }: CheckpointCandidate): number | undefined {
  const known = verdicts.flatMap(({ toTarget }) => (typeof toTarget === 'number' ? [toTarget] : []))
  return known.length > 0 ? mean(known) : undefined
}

/** Unknown values come last. */
const compareAscending = (a: number | undefined, b: number | undefined) => (a ?? Infinity) - (b ?? Infinity) || 0

function reasonFor(best: CheckpointCandidate): string {
  const [transformed, all] = [countTransformed(best), best.verdicts.length]
  const distance = distanceToTargets(best)
  return [
    ...(all > 0 ? [`${transformed} of ${countText(all, 'preview')} transformed`] : []),
    ...(distance !== undefined ? [`${distance.toFixed(1)} dB from the target`] : []),
    ...(best.fixedLoss !== undefined ? [`fixed loss ${best.fixedLoss.toFixed(4)}`] : []),
  ].join(', ')
}
