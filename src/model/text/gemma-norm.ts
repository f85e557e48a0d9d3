/** The RMS norm of Gemma (reference §5.3, §10.2). */
import * as tf from '@tensorflow/tfjs'
import { rmsNorm } from '../../engine/activations.ts'
import type { Weights } from '../weights.ts'
import type { GemmaConfig } from './gemma-config.ts'

/** rms(x) · scale. `scale` is the stored weight w in Gemma 4, and 1 + w in Gemma 3. */
export type GemmaNorm = { scale: tf.Tensor1D; epsilon: number }

export const loadGemmaNorm = (
  weights: Weights,
  width: number,
  { normOffset, normEpsilon }: GemmaConfig,
): GemmaNorm => ({
  scale: tf.tensor1d(weights.float32('weight', [width]).map((w) => normOffset + w)),
  epsilon: normEpsilon,
})

/** Over the last axis. */
export const gemmaNorm = <T extends tf.Tensor>({ scale, epsilon }: GemmaNorm, x: T): T =>
  tf.mul(rmsNorm(x, epsilon), scale)
