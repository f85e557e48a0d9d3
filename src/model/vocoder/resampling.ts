/** Filters that raise the sample rate of each channel: the anti-aliasing ×2 and the resampler's ×3 (spec §4.1, §4.3). */
import * as tf from '@tensorflow/tfjs'
import { type DepthwiseFilter, depthwiseFilter, depthwiseConvolve, replicatePad } from './filters.ts'

/** The filter's outputs per channel are the new samples in place of each old one. */
export type Upsampler = { filter: DepthwiseFilter; rate: number; before: number; after: number }

export type UpsamplerOptions = { rate: number; padding: number; channels: number }

/** @param filter taps at the higher rate, the same for all channels, summing to 1. */
export function createUpsampler(filter: Float32Array, { rate, padding, channels }: UpsamplerOptions): Upsampler {
  const { before, after, taps } = polyphase({ taps: filter.length, rate, padding })
  const values = taps.map((tap) => rate * (filter[tap] ?? 0)) // times rate, for the zeros that stand between samples
  return { filter: depthwiseFilter(values, before + 1 + after, channels), rate, before, after }
}

/** `[B, N, C] → [B, rate · N, C]`. Beyond its ends the signal stays at its first and last value. */
export function upsample({ filter, rate, before, after }: Upsampler, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  return tf.tidy(() => {
    const phases = depthwiseConvolve(filter, replicatePad(x, before, after))
    const apart = tf.reshape(phases, [batch, length, channels, rate])
    return tf.reshape(tf.transpose(apart, [0, 1, 3, 2]), [batch, length * rate, channels])
  })
}

/**
 * Raising the sample rate, taken apart. A transposed convolution of stride u makes, of every input sample, u output samples; each of these u
 * "phases" is an ordinary convolution with every u-th tap of the kernel. So a plain convolution with u times the channels, whose channel groups
 * are then laid end to end in time, is the same thing: two to ten times as fast on the WebAssembly backend, and no transposed convolution is
 * needed at all. Used for the up-convolutions, the anti-aliasing filters and the ×3 resampler alike.
 */
export type Polyphase = {
  /** How many input samples before and after the current one the plain convolution looks at. */
  before: number
  after: number
  /** The kernel tap of each position and phase, `[before + 1 + after, rate]` row by row; the number of taps itself where there is none. */
  taps: number[]
}

export type PolyphaseOptions = { taps: number; rate: number; padding: number }

/** Output u · n + phase is the sum over d of x[n + d] · kernel[phase + padding − u · d], as far as there are such taps. */
export function polyphase({ taps, rate, padding }: PolyphaseOptions): Polyphase {
  const before = Math.floor((taps - 1 - padding) / rate)
  const after = Math.floor((rate - 1 + padding) / rate)
  const positions = Array.from({ length: before + 1 + after }, (_, i) => i - before)
  const tapAt = (d: number, phase: number) => {
    const tap = phase + padding - rate * d
    return tap >= 0 && tap < taps ? tap : taps
  }
  return { before, after, taps: positions.flatMap((d) => Array.from({ length: rate }, (_, phase) => tapAt(d, phase))) }
}

/** The resampler beside the bandwidth extension (spec §4.3): a Hann-windowed sinc, the one filter of the vocoder that no checkpoint stores. */

/** How many zero crossings the sinc has on each side, and how far below the Nyquist frequency it cuts. */
const zeroCrossings = 6
const rolloff = 0.99

/** Reaches this many input samples to each side. */
const reach = Math.ceil(zeroCrossings / rolloff)

/** Raises the sample rate of each channel `rate` times. */
export const createSincUpsampler = (rate: number, channels: number): Upsampler =>
  createUpsampler(sincTaps(rate), { rate, padding: reach * rate, channels })

export const sincTaps = (rate: number): Float32Array =>
  Float32Array.from({ length: 2 * reach * rate + 1 }, (_, i) => {
    const time = (i / rate - reach) * rolloff
    const window = Math.cos((Math.PI * clamp(time, zeroCrossings)) / zeroCrossings / 2) ** 2
    return (sinc(time) * window * rolloff) / rate
  })

const clamp = (x: number, limit: number) => Math.min(Math.max(x, -limit), limit)
const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x))
