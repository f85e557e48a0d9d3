/** The learned step to a higher sample rate: stored as a transposed convolution, computed as a plain one (see polyphase.ts). */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { conv1d } from '../../engine/convolution.ts'
import { silentEdges } from './edges.ts'
import { inPieces } from './pieces.ts'
import { polyphase } from './polyphase.ts'

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
    const edged = silentEdges(x, before, after)
    const phases = inPieces(edged, before + after, (piece) => conv1d(piece, kernel))
    return tf.add(tf.reshape(phases, [batch, length * rate, -1]), bias)
  })
}
