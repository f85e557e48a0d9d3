/** What became of a reference: ignored, copied or transformed, with the numbers behind the word. And which checkpoint did best. */
import { sampleCount, type Waveform } from '../audio/waveform.ts'
import { align, sameTiming } from './alignment.ts'
import { following, reachSeconds } from './following.ts'
import { aligned, type Spectrum, spectralDistance, spectrumOf, toMono } from './spectrum.ts'

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

export type Judged = {
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
export function judge({ preview, reference, target, base, pairDistance, roundTripDistance = 0 }: Judged): Verdict {
  const [heardMono, originalMono] = [mono(preview), mono(reference)]
  const [heard, original] = [spectrumOf(heardMono), spectrumOf(originalMono)]
  const { correlation, lagSeconds } = following(original, heard)
  const distanceTo = (other: Spectrum) => spectralDistance(...aligned(other, heard, lagSeconds))
  const toReference = distanceTo(original)
  const wanted = target && spectrumOf(mono(target))
  const way = (wanted && spectralDistance(original, wanted)) ?? pairDistance ?? usualWay
  const timing = timingOf(originalMono, heardMono)
  const follows = Math.max(correlation / sameEnvelopes, timing / sameTiming) >= 1
  return {
    word: wordFor(follows, toReference, (roundTripDistance + way) / 2),
    follows: correlation,
    timing,
    lagSeconds,
    toReference,
    ...(wanted && { toTarget: distanceTo(wanted) }),
    ...(base && { toBase: spectralDistance(spectrumOf(mono(base)), heard) }),
  }
}

/** Sounds that begin together, but a quarter of a second later, are another take. */
function timingOf(reference: Waveform, preview: Waveform): number {
  const { lagSeconds, timingMatch } = align(reference, preview)
  return Math.abs(lagSeconds ?? 0) <= reachSeconds ? timingMatch : 0
}

/** Half way from the nearest copy to the target, a copy becomes a transformation. */
function wordFor(follows: boolean, toReference: number | null, halfWay: number): VerdictWord {
  if (!follows || toReference === null) return 'ignored'
  return toReference < halfWay ? 'copied' : 'transformed'
}

const mono = (waveform: Waveform) => (sampleCount(waveform) > 0 ? toMono(waveform) : waveform)

/** A step at which previews were made; `fixedLoss` where it was measured. */
export type Candidate = { step: number; verdicts: readonly Verdict[]; fixedLoss?: number | undefined }

export type Best = { step: number; reason: string }

/**
 * The checkpoint to keep: most references transformed, then nearest to the known targets, then the lowest loss over fixed draws, then the latest.
 * `undefined` where there is nothing to choose from.
 */
export function bestCheckpoint(candidates: readonly Candidate[]): Best | undefined {
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

const transformedOf = ({ verdicts }: Candidate) => verdicts.filter(({ word }) => word === 'transformed').length

function distanceToTargets({ verdicts }: Candidate): number | undefined {
  const known = verdicts.flatMap(({ toTarget }) => (typeof toTarget === 'number' ? [toTarget] : []))
  return known.length > 0 ? known.reduce((sum, distance) => sum + distance, 0) / known.length : undefined
}

/** What is unknown comes last. */
const ascending = (a: number | undefined, b: number | undefined) => (a ?? Infinity) - (b ?? Infinity) || 0

function reasonFor(best: Candidate): string {
  const [transformed, all] = [transformedOf(best), best.verdicts.length]
  const distance = distanceToTargets(best)
  return [
    ...(all > 0 ? [`${transformed} of ${all} ${all === 1 ? 'preview' : 'previews'} transformed`] : []),
    ...(distance !== undefined ? [`${distance.toFixed(1)} dB from the target`] : []),
    ...(best.fixedLoss !== undefined ? [`fixed loss ${best.fixedLoss.toFixed(4)}`] : []),
  ].join(', ')
}
