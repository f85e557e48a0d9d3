/** A reference and its target, compared. */
import type { Waveform } from '../waveform.ts'
import { type Alignment, align } from './alignment.ts'
import { type Fingerprint, fingerprintOf } from './duplicates.ts'
import { aligned, type Spectrum, spectralDistance, spectrumOf, toMono } from './spectrum.ts'

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

/** What a pair does to a sound, in a few numbers, and whether all pairs of a dataset do the same. */

/** For each of 16 groups of mel bands: by how many decibels its level and its liveliness (the spread over time) change. Overall level left out. */
export type Transformation = Float32Array

const groups = 16

/** @param reference and `target` aligned */
export function transformationOf(reference: Spectrum, target: Spectrum): Transformation {
  const frames = Math.min(reference.frames, target.frames)
  const [before, after] = [groupStatistics(reference, frames), groupStatistics(target, frames)]
  const level = after.means.map((mean, i) => mean - (before.means[i] as number))
  const overall = mean(level)
  const spread = after.spreads.map((spread, i) => spread - (before.spreads[i] as number))
  return Float32Array.from([...level.map((change) => change - overall), ...spread])
}

export type Agreement = {
  /** The share of all change that every pair has in common: 1 is one and the same transformation, below 0.3 hardly any. */
  share: number
  /** For each pair how well it goes along with the others, −1 to 1, in the order given. */
  each: number[]
}

/** `undefined` for fewer than three pairs: two cannot tell which of them is the odd one. */
export function agreementOf(transformations: readonly Transformation[]): Agreement | undefined {
  if (transformations.length < 3) return undefined
  const total = sumOf(transformations)
  const common = total.map((value) => value / transformations.length)
  const meanPower = mean(transformations.map((one) => dot(one, one)))
  const each = transformations.map((one) =>
    cosine(
      one,
      total.map((value, i) => value - (one[i] as number)),
    ),
  )
  return { share: meanPower > 0 ? dot(common, common) / meanPower : 1, each }
}

/** Means and spreads over time of the level of each group, in decibels. */
export function groupStatistics(spectrum: Spectrum, frames = spectrum.frames): { means: number[]; spreads: number[] } {
  const size = spectrum.bands / groups
  const levels = Array.from({ length: groups }, (_, group) =>
    Float32Array.from({ length: frames }, (_, frame) => {
      const at = frame * spectrum.bands + group * size
      return mean(spectrum.decibels.subarray(at, at + size))
    }),
  )
  const means = levels.map((level) => mean(level))
  const spreads = levels.map((level, i) => Math.sqrt(mean(level.map((value) => (value - (means[i] as number)) ** 2))))
  return { means, spreads }
}

function sumOf(vectors: readonly Float32Array[]): Float32Array {
  const sum = new Float32Array(vectors[0]?.length ?? 0)
  for (const vector of vectors) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (vector[i] as number)
  return sum
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)

/** 0 where one of them is nothing. */
function cosine(a: Float32Array, b: Float32Array): number {
  const norm = Math.sqrt(dot(a, a) * dot(b, b))
  return norm > 0 ? dot(a, b) / norm : 0
}

function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] as number
  return values.length > 0 ? sum / values.length : 0
}
