/** Convolutions over time in the vocoder (reference §4.1): plain, dilated and depthwise, each with as many samples out as in at stride 1. */
import * as tf from '@tensorflow/tfjs'
import { inChunks } from '../../engine/chunks.ts'
import { conv1d } from '../../engine/convolution.ts'
import { constant, transposedConstant } from '../../engine/device-tensors.ts'
import type { Weights } from '../weights.ts'

/** The kernel is `[taps, in, out]`. */
export type Convolution = { kernel: tf.Tensor3D; bias?: tf.Tensor1D; dilation: number }

/** Sizes that are left out are taken from the checkpoint. */
export type ConvolutionSize = { inputs?: number; outputs?: number; taps?: number; dilation?: number; bias?: boolean }

/** The checkpoint stores the kernel as `[out, in, taps]`. */
export function loadConvolution(weights: Weights, size: ConvolutionSize): Convolution {
  const { inputs = null, outputs = null, taps = null, dilation = 1, bias = true } = size
  const weight = weights.read('weight', [outputs, inputs, taps])
  return {
    kernel: transposedConstant(weight, [2, 1, 0]),
    ...(bias && { bias: constant<tf.Rank.R1>(weights.read('bias', [weight.shape[0] as number])) }),
    dilation,
  }
}

/** `[B, N, in] → [B, N, out]`, with zeros beyond both ends. @param residual `[B, N, out]`, is added. */
export function convolve(
  { kernel, bias, dilation }: Convolution,
  x: tf.Tensor3D,
  { residual }: { residual?: tf.Tensor3D } = {},
): tf.Tensor3D {
  const reach = (kernel.shape[0] - 1) * dilation
  return conv1d(x, kernel, { bias, residual, padding: [reach / 2, reach / 2], dilation })
}

/** One filter per channel, `[1, taps, C, outputs per channel]`. */
export type DepthwiseFilter = tf.Tensor4D

/** @param values the taps of every channel, row-major `[taps, outputs per channel]`. The caller disposes of the filter. */
export const depthwiseFilter = (values: ArrayLike<number>, taps: number, channels: number): DepthwiseFilter =>
  tf.tidy(() => {
    const single = tf.tensor4d(Float32Array.from(values), [1, taps, 1, values.length / taps])
    return tf.keep(tf.tile(single, [1, 1, channels, 1]))
  })

/** For a signal that is already padded: `[B, N + taps − 1, C] → [B, N / stride, C · outputs]`. */
export const depthwiseConvolve = (filter: DepthwiseFilter, x: tf.Tensor3D, stride = 1): tf.Tensor3D =>
  inChunks(
    x,
    filter.shape[1] - 1,
    (chunk) => tf.squeeze(tf.depthwiseConv2d(tf.expandDims<tf.Tensor4D>(chunk, 1), filter, stride, 'valid'), [1]),
    stride,
  )
