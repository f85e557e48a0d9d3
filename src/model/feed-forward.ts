/** Linear, GELU, linear (spec §6.3). */
import type * as tf from '@tensorflow/tfjs'
import type { Weights } from '../checkpoint/weights.ts'
import { onTokens } from './attention.ts'
import { type Linear, loadLinear } from './linear.ts'
import { gelu } from './norm.ts'

export type FeedForward = { up: Linear; down: Linear }

export function loadFeedForward(weights: Weights, width: number): FeedForward {
  const [inner] = weights.shape('net.0.proj.weight')
  return {
    up: loadLinear(weights.at('net.0.proj'), width, inner as number),
    down: loadLinear(weights.at('net.2'), inner as number, width),
  }
}

/** `[B, N, D] → [B, N, D]`. */
export const feedForward = ({ up, down }: FeedForward, x: tf.Tensor3D) => onTokens(down, gelu(onTokens(up, x)))
