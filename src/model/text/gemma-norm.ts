/** Gemma's normalisation: the stored weight is what the gain exceeds 1 by. */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { rmsNorm } from '../norm.ts'

export type GainNorm = { gain: tf.Tensor1D; epsilon: number }

export const loadGainNorm = (weights: Weights, width: number, epsilon: number): GainNorm => ({
  gain: tf.tensor1d(weights.float32('weight', [width]).map((excess) => 1 + excess)),
  epsilon,
})

/** Over the last axis. */
export const gainNorm = <T extends tf.Tensor>({ gain, epsilon }: GainNorm, x: T): T => tf.mul(rmsNorm(x, epsilon), gain)
