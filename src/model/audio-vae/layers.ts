/**
 * The layers of the audio VAE (reference §3.1): convolutions over time × mel bins that are causal in time, residual blocks, and the changes of
 * resolution. Causal means that all padding is before the first frame, so no output depends on later frames.
 */
import * as tf from '@tensorflow/tfjs'
import { conv2d } from '../../engine/convolution.ts'
import { rmsNorm, silu } from '../layers.ts'
import type { Weights } from '../weights.ts'

/** The kernel is `[time, bins, in, out]`. */
export type Convolution = { kernel: tf.Tensor4D; bias: tf.Tensor1D }

export type ConvolutionSize = { inputs: number; outputs: number; size?: 1 | 3 }

/** The checkpoint stores the kernel as `[out, in, time, bins]`. */
export function loadConvolution(weights: Weights, { inputs, outputs, size = 3 }: ConvolutionSize): Convolution {
  const shape = [outputs, inputs, size, size] as [number, number, number, number]
  return tf.tidy(() => ({
    kernel: tf.keep(tf.transpose(tf.tensor4d(weights.float32('weight', shape), shape), [2, 3, 1, 0])),
    bias: tf.keep(tf.tensor1d(weights.float32('bias', [outputs]))),
  }))
}

/** Keeps the number of frames and bins: `[B, T, F, in] → [B, T, F, out]`. */
export function causalConvolution(layer: Convolution, x: tf.Tensor4D): tf.Tensor4D {
  const [timeTaps, binTaps] = layer.kernel.shape
  const side = (binTaps - 1) / 2
  return convolve(layer, pad(x, [timeTaps - 1, 0], [side, side]))
}

/** Halves both resolutions, rounded up, with stride 2. Bins are padded on the right only: `[B, T, F, C] → [B, ceil(T / 2), ceil(F / 2), C]`. */
export const downsample = (layer: Convolution, x: tf.Tensor4D): tf.Tensor4D =>
  convolve(layer, pad(x, [2, 0], [0, 1]), 2)

/**
 * Repeats every frame and bin, then convolves. The first frame then stands for a single frame instead of two, so the first row is dropped:
 * `[B, T, F, C] → [B, 2T − 1, 2F, C]`.
 */
export function upsample(layer: Convolution, x: tf.Tensor4D): tf.Tensor4D {
  const [, frames, bins] = x.shape
  const repeated = tf.image.resizeNearestNeighbor(x, [2 * frames, 2 * bins])
  return tf.slice(causalConvolution(layer, repeated), [0, 1, 0, 0], [-1, -1, -1, -1])
}

/** A separate step, because not every backend supports uneven padding inside its convolution. */
const pad = (x: tf.Tensor4D, time: [number, number], bins: [number, number]): tf.Tensor4D =>
  Math.max(...time, ...bins) === 0 ? x : tf.pad(x, [[0, 0], time, bins, [0, 0]])

const convolve = ({ kernel, bias }: Convolution, x: tf.Tensor4D, stride = 1): tf.Tensor4D =>
  tf.add(conv2d(x, kernel, stride), bias)

/** Two convolutions with a residual connection; a 1×1 convolution on it where the width changes. */
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
    const hidden = causalConvolution(first, pixelNormSilu(x))
    const residual = causalConvolution(second, pixelNormSilu(hidden))
    return tf.add(shortcut ? causalConvolution(shortcut, x) : x, residual)
  })

/** SiLU(PixelNorm(x)). PixelNorm is an RMS norm over the channels of each frame and bin. */
export const pixelNormSilu = (x: tf.Tensor4D): tf.Tensor4D => tf.tidy(() => silu(rmsNorm(x)))
