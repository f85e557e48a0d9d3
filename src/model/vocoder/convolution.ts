/** Convolution over time with as many samples out as in. */
import * as tf from '@tensorflow/tfjs'
import { conv1d } from '../../engine/convolution.ts'
import { isNative } from '../../engine/native.ts'
import type { Weights } from '../weights.ts'
import { inChunks, zeroPad } from './filters.ts'
import { polyphase } from './resampling.ts'

/** The kernel is `[taps, in, out]`. */
export type Convolution = { kernel: tf.Tensor3D; bias?: tf.Tensor1D; dilation: number }

/** Sizes that the config does not name are the checkpoint's own. */
export type ConvolutionSize = { inputs?: number; outputs?: number; taps?: number; dilation?: number; bias?: boolean }

/** Stored as `[out, in, taps]`. */
export function loadConvolution(weights: Weights, size: ConvolutionSize): Convolution {
  const { inputs = null, outputs = null, taps = null, dilation = 1, bias = true } = size
  const values = weights.float32('weight', [outputs, inputs, taps])
  const shape = weights.shape('weight') as [number, number, number]
  return tf.tidy(() => ({
    kernel: tf.keep(tf.transpose(tf.tensor3d(values, shape), [2, 1, 0])),
    ...(bias && { bias: tf.keep(tf.tensor1d(weights.float32('bias', [shape[0]]))) }),
    dilation,
  }))
}

/** `[B, N, in] → [B, N, out]`; zeros beyond the ends. */
export const convolve = ({ kernel, bias, dilation }: Convolution, x: tf.Tensor3D): tf.Tensor3D =>
  tf.tidy(() => {
    const reach = (kernel.shape[0] - 1) * dilation
    const edged = zeroPad(x, reach / 2, reach / 2)
    const y =
      dilation > 1 && isNative()
        ? convolveDilated(edged, dilation, (phases) => conv1d(phases, kernel))
        : inChunks(edged, reach, (piece) => conv1d(piece, kernel, 1, dilation))
    return bias ? tf.add(y, bias) : y
  })

/**
 * A dilated filter is a plain one over every d-th sample, d times: `[B, N + reach, C] → [B, N, C']`. TensorFlow.js has a gradient for plain ones
 * only.
 */
function convolveDilated(x: tf.Tensor3D, d: number, filter: (phases: tf.Tensor3D) => tf.Tensor3D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const rows = Math.ceil(length / d)
  const whole = tf.reshape(zeroPad(x, 0, rows * d - length), [batch, rows, d, channels])
  const phases = tf.reshape<tf.Rank.R3>(tf.transpose(whole, [0, 2, 1, 3]), [batch * d, rows, channels])
  const filtered = filter(phases)
  const [, left, outputs] = filtered.shape
  const together = tf.transpose(tf.reshape(filtered, [batch, d, left, outputs]), [0, 2, 1, 3])
  return tf.slice(
    tf.reshape<tf.Rank.R3>(together, [batch, left * d, outputs]),
    [0, 0, 0],
    [batch, length - (rows - left) * d, outputs],
  )
}

/** The learned step to a higher sample rate: stored as a transposed convolution, computed as a plain one (see polyphase.ts). */

/** The kernel is `[positions, in, rate · out]`, phase-major. */
export type UpConvolution = { kernel: tf.Tensor3D; bias: tf.Tensor1D; rate: number; before: number; after: number }

export type UpConvolutionSize = { inputs: number; outputs: number; rate: number; taps: number }

/** Stored as `[in, out, taps]`. */
export function loadUpConvolution(weights: Weights, { inputs, outputs, rate, taps }: UpConvolutionSize): UpConvolution {
  const shape: [number, number, number] = [inputs, outputs, taps]
  const { before, after, taps: phases } = polyphase({ taps, rate, padding: (taps - rate) / 2 })
  return tf.tidy(() => {
    const byTap = tf.transpose(tf.tensor3d(weights.float32('weight', shape), shape), [2, 0, 1])
    const zeroLast = tf.concat([byTap, tf.zeros([1, inputs, outputs])])
    const picked = tf.reshape(tf.gather(zeroLast, phases), [before + 1 + after, rate, inputs, outputs])
    const kernel = tf.reshape(tf.transpose(picked, [0, 2, 1, 3]), [before + 1 + after, inputs, rate * outputs])
    const bias = tf.tensor1d(weights.float32('bias', [outputs]))
    return { kernel: tf.keep(kernel as tf.Tensor3D), bias: tf.keep(bias), rate, before, after }
  })
}

/** `[B, N, in] → [B, rate · N, out]`; zeros beyond the ends. */
export function upConvolve({ kernel, bias, rate, before, after }: UpConvolution, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, length] = x.shape
  return tf.tidy(() => {
    const edged = zeroPad(x, before, after)
    const phases = inChunks(edged, before + after, (piece) => conv1d(piece, kernel))
    return tf.add(tf.reshape(phases, [batch, length * rate, -1]), bias)
  })
}
