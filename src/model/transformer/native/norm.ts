/** Norm and modulation of a block's tokens, and their gradient by hand, in float32. */
import * as tf from '@tensorflow/tfjs'
import { normEpsilon } from '../../norm.ts'

/** 1 / sqrt(mean(x²) + eps) along an axis that stays. */
export const inverseRms = (x: tf.Tensor, axis: number): tf.Tensor =>
  tf.rsqrt(tf.add(tf.mean(tf.square(x), axis, true), normEpsilon))

/** The gradient of y = x · r, r being the inverse RMS of x: r (dy − y · mean(dy · y)). */
export const normGradient = (dy: tf.Tensor, y: tf.Tensor, r: tf.Tensor, axis: number): tf.Tensor =>
  tf.mul(r, tf.sub(dy, tf.mul(y, tf.mean(tf.mul(dy, y), axis, true))))
