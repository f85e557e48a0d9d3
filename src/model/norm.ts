/** The normalisations and activations that the transformer, the connector and the text tower share (spec §6.3, §6.4, §6.6). */
import * as tf from '@tensorflow/tfjs'

export const normEpsilon = 1e-6

/** x / sqrt(mean(x²) + eps) over the last axis; no weight. */
export const rmsNorm = <T extends tf.Tensor>(x: T, epsilon = normEpsilon): T =>
  tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon)))

/** (x − mean) / sqrt(variance + eps) over the last axis; no weight. */
export const layerNorm = <T extends tf.Tensor>(x: T, epsilon = normEpsilon): T =>
  rmsNorm(tf.sub<T>(x, tf.mean(x, -1, true)), epsilon)

/** x · sigmoid(x). */
export const silu = <T extends tf.Tensor>(x: T): T => tf.mul(x, tf.sigmoid(x))

const gain = 2 * Math.sqrt(2 / Math.PI)

/** GELU in its tanh approximation; 0.5 (1 + tanh u) = sigmoid(2u), and a sigmoid is much faster than a tanh in wasm. */
export const gelu = <T extends tf.Tensor>(x: T): T =>
  tf.mul(x, tf.sigmoid(tf.mul(x, tf.add(tf.mul(tf.square(x), gain * 0.044715), gain))))

/** The derivative of GELU. */
export function geluSlope<T extends tf.Tensor>(x: T): T {
  const square = tf.square(x)
  const gate = tf.sigmoid(tf.mul(x, tf.add(tf.mul(square, gain * 0.044715), gain)))
  const slope = tf.mul(tf.mul(x, tf.sub(1, gate)), tf.add(tf.mul(square, 3 * gain * 0.044715), gain))
  return tf.mul(gate, tf.add(slope, 1))
}
