/** Two convolutions beside a shortcut (spec §3.1). Its PixelNorm is an RMS norm over the channels of each time and bin. */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { rmsNorm, silu } from '../norm.ts'
import { type Convolution, causalConvolution, loadConvolution } from './convolution.ts'

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
    const inner = causalConvolution(first, activated(x))
    const change = causalConvolution(second, activated(inner))
    return tf.add(shortcut ? causalConvolution(shortcut, x) : x, change)
  })

/** What stands before every convolution but the first of a half. */
export const activated = (x: tf.Tensor4D): tf.Tensor4D => tf.tidy(() => silu(rmsNorm(x)))
