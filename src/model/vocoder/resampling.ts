/**
 * Everything that raises the sample rate (reference §4.1, §4.3): the learned up-convolutions of the generators, the anti-aliasing filter ×2, and the
 * windowed-sinc filter ×3 beside the bandwidth extension. All three are transposed convolutions, computed as plain ones by `polyphase`.
 */
import * as tf from '@tensorflow/tfjs'
import { replicatePad } from '../../engine/chunks.ts'
import { conv1d } from '../../engine/convolution.ts'
import { constant, transposedConstant } from '../../engine/device-tensors.ts'
import type { Weights } from '../weights.ts'
import { type DepthwiseFilter, depthwiseConvolve, depthwiseFilter } from './convolution.ts'

/**
 * A transposed convolution of stride u makes u output samples of every input sample. Each of these u phases is an ordinary convolution with every
 * u-th tap of the kernel. So a plain convolution with u times the channels, whose channel groups are interleaved in time, computes the same, two to
 * ten times as fast on the WebAssembly backend.
 */
export type Polyphase = {
  /** How many input samples before and after the current one the plain convolution uses. */
  before: number
  after: number
  /** The kernel tap for each position and phase, row-major `[before + 1 + after, rate]`. An index equal to the number of taps means zero. */
  taps: number[]
}

export type PolyphaseOptions = { taps: number; rate: number; padding: number }

/** y[u·n + phase] = Σ_d x[n + d] · kernel[phase + padding − u·d], over those d for which the tap exists. */
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

/** A learned transposed convolution. The kernel is `[positions, in, rate · out]`, phase-major. */
export type UpConvolution = { kernel: tf.Tensor3D; bias: tf.Tensor1D; rate: number; before: number; after: number }

export type UpConvolutionSize = { inputs: number; outputs: number; rate: number; taps: number }

/** The checkpoint stores the kernel as `[in, out, taps]`. */
export function loadUpConvolution(weights: Weights, { inputs, outputs, rate, taps }: UpConvolutionSize): UpConvolution {
  const byTap = transposedConstant(weights.read('weight', [inputs, outputs, taps]), [2, 0, 1])
  const { before, after, taps: phases } = polyphase({ taps, rate, padding: (taps - rate) / 2 })
  const kernel = tf.tidy(() => {
    const withZeroTap = tf.concat([byTap, tf.zeros([1, inputs, outputs])])
    const selected = tf.reshape(tf.gather(withZeroTap, phases), [before + 1 + after, rate, inputs, outputs])
    const kernel = tf.reshape(tf.transpose(selected, [0, 2, 1, 3]), [before + 1 + after, inputs, rate * outputs])
    return tf.keep(kernel as tf.Tensor3D)
  })
  byTap.dispose()
  return { kernel, bias: constant(weights.read('bias', [outputs])), rate, before, after }
}

/** `[B, N, in] → [B, rate · N, out]`, with zeros beyond both ends. */
export function upConvolve({ kernel, bias, rate, before, after }: UpConvolution, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, length] = x.shape
  return tf.tidy(() => {
    const phases = conv1d(x, kernel, { bias: tf.tile(bias, [rate]), padding: [before, after] })
    return tf.reshape(phases, [batch, length * rate, -1])
  })
}

/** A fixed filter that raises the sample rate of each channel. Its outputs per channel are the phases. */
export type Upsampler = { filter: DepthwiseFilter; rate: number; before: number; after: number }

export type UpsamplerOptions = { rate: number; padding: number; channels: number }

/** @param filter the taps at the higher rate, the same for all channels, with sum 1. */
export function createUpsampler(filter: Float32Array, { rate, padding, channels }: UpsamplerOptions): Upsampler {
  const { before, after, taps } = polyphase({ taps: filter.length, rate, padding })
  const values = taps.map((tap) => rate * (filter[tap] ?? 0)) // times rate, because rate − 1 of rate samples are zeros
  return { filter: depthwiseFilter(values, before + 1 + after, channels), rate, before, after }
}

/** `[B, N, C] → [B, rate · N, C]`. The first and the last sample are repeated beyond the ends. */
export function upsample({ filter, rate, before, after }: Upsampler, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  return tf.tidy(() => {
    const phases = depthwiseConvolve(filter, replicatePad(x, before, after))
    const separated = tf.reshape(phases, [batch, length, channels, rate])
    return tf.reshape(tf.transpose(separated, [0, 1, 3, 2]), [batch, length * rate, channels])
  })
}

/** The number of zero crossings of the sinc on each side, and its cutoff as a share of the Nyquist frequency. */
const zeroCrossings = 6
const rolloff = 0.99

/** How many input samples the filter uses on each side. */
const reach = Math.ceil(zeroCrossings / rolloff)

/** Raises the sample rate with a Hann-windowed sinc, the only filter of the vocoder that is not in the checkpoint (reference §4.3). */
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
