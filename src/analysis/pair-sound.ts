/** A reference and its target, compared. */
import type { Waveform } from '../audio/waveform.ts'
import { type Alignment, align } from './alignment.ts'
import { type Fingerprint, fingerprintOf } from './duplicates.ts'
import { aligned, spectralDistance, spectrumOf, toMono } from './spectrum.ts'
import { type Transformation, transformationOf } from './transformation.ts'

export type PairSound = Alignment & {
  /** How much the target differs from its reference, in decibels as `spectralDistance` has them; `null` for silence. */
  distance: number | null
}

/** What a pair is compared with others by. */
export type PairTraits = { transformation: Transformation; reference: Fingerprint; target: Fingerprint }

export function comparePair(reference: Waveform, target: Waveform): { sound: PairSound; traits: PairTraits } {
  const [before, after] = [toMono(reference), toMono(target)]
  const alignment = align(before, after)
  const [referenceSpectrum, targetSpectrum] = [spectrumOf(before), spectrumOf(after)]
  const together = aligned(referenceSpectrum, targetSpectrum, alignment.lagSeconds ?? 0)
  return {
    sound: { ...alignment, distance: spectralDistance(...together) },
    traits: {
      transformation: transformationOf(...together),
      reference: fingerprintOf(referenceSpectrum),
      target: fingerprintOf(targetSpectrum),
    },
  }
}
