/**
 * The autoencoder's convolutions over time × mel bins (spec §3.1). "Causal" in time: all padding lies before the first frame, so that no output
 * hears the future. Padding is a step of its own because not every backend takes uneven padding inside its convolution.
 */
import * as tf from '@tensorflow/tfjs'
import { conv2d } from '../../engine/convolution.ts'
import { rmsNorm, silu } from '../layers.ts'
import type { Weights } from '../weights.ts'

/** The kernel is `[time, bins, in, out]`. */
export type Convolution = { kernel: tf.Tensor4D; bias: tf.Tensor1D }

export type ConvolutionSize = { inputs: number; outputs: number; size?: 1 | 3 }

/** Stored as `[out, in, time, bins]`. */
export function loadConvolution(weights: Weights, { inputs, outputs, size = 3 }: ConvolutionSize): Convolution {
  const shape = [outputs, inputs, size, size] as [number, number, number, number]
  return tf.tidy(() => ({
    kernel: tf.keep(tf.transpose(tf.tensor4d(weights.float32('weight', shape), shape), [2, 3, 1, 0])),
    bias: tf.keep(tf.tensor1d(weights.float32('bias', [outputs]))),
  }))
}

/** The same number of frames and bins: `[B, T, F, in] → [B, T, F, out]`. */
export function causalConvolution(layer: Convolution, x: tf.Tensor4D): tf.Tensor4D {
  const around = (layer.kernel.shape[1] - 1) / 2
  return convolve(layer, pad(x, [layer.kernel.shape[0] - 1, 0], [around, around]))
}

/** Half as many of both, rounded up. The bins are padded on the right only: `[B, T, F, in] → [B, ceil(T / 2), ceil(F / 2), out]`. */
export const downsample = (layer: Convolution, x: tf.Tensor4D): tf.Tensor4D =>
  convolve(layer, pad(x, [2, 0], [0, 1]), 2)

const pad = (x: tf.Tensor4D, time: [number, number], bins: [number, number]): tf.Tensor4D =>
  Math.max(...time, ...bins) === 0 ? x : tf.pad(x, [[0, 0], time, bins, [0, 0]])

const convolve = ({ kernel, bias }: Convolution, x: tf.Tensor4D, stride = 1): tf.Tensor4D =>
  tf.add(conv2d(x, kernel, stride), bias)

/** Two convolutions beside a shortcut (spec §3.1). Its PixelNorm is an RMS norm over the channels of each time and bin. */

export type ResBlock = { first: Convolution; second: Convolution; shortcut?: Convolution }

export function loadResBlock(weights: Weights, inputs: number, outputs: number): ResBlock {
  return {
    first: loadConvolution(weights.at('conv1.conv'), { inputs, outputs }),
    second: loadConvolution(weights.at('conv2.conv'), { inputs: outputs, outputs }),
    ...(inputs !== outputs && {
      shortcut: loadConvolution(weights.at('nin_shortcut.conv'), { inputs, outputs, size: 1 }),
    }),
  }
}

/** `[B, T, F, in] → [B, T, F, out]`. */
export const resBlock = ({ first, second, shortcut }: ResBlock, x: tf.Tensor4D): tf.Tensor4D =>
  tf.tidy(() => {
    const inner = causalConvolution(first, pixelNormSilu(x))
    const change = causalConvolution(second, pixelNormSilu(inner))
    return tf.add(shortcut ? causalConvolution(shortcut, x) : x, change)
  })

/** What stands before every convolution but the first of a half. */
export const pixelNormSilu = (x: tf.Tensor4D): tf.Tensor4D => tf.tidy(() => silu(rmsNorm(x)))
