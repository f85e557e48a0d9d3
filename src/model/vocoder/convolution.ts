/** Convolution over time with as many samples out as in. */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { silentEdges } from './edges.ts'
import { inPieces } from './pieces.ts'

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
    const edged = silentEdges(x, reach / 2, reach / 2)
    const y = inPieces(edged, reach, (piece) => tf.conv1d(piece, kernel, 1, 'valid', 'NWC', dilation))
    return bias ? tf.add(y, bias) : y
  })
