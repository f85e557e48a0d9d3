/** Norms, activations and rotations of tensors in float32, with the derivatives that gradients written by hand use. */
import * as tf from '@tensorflow/tfjs'
import { fusedAudio, fusedNormSilu } from './fused-audio.ts'

export const normEpsilon = 1e-6

/** x / sqrt(mean(x²) + eps) over the last axis; no weight. */
export const rmsNorm = <T extends tf.Tensor>(x: T, epsilon = normEpsilon): T => tf.mul(x, inverseRms(x, -1, epsilon))

/** 1 / sqrt(mean(x²) + eps) along an axis, which stays with size 1. */
export const inverseRms = (x: tf.Tensor, axis: number, epsilon = normEpsilon): tf.Tensor =>
  tf.rsqrt(tf.add(tf.mean(tf.square(x), axis, true), epsilon))

/** The gradient of y = x · r, where r is the inverse RMS of x: dx = r · (dy − y · mean(dy · y)). */
export const rmsNormGradient = (dy: tf.Tensor, y: tf.Tensor, r: tf.Tensor, axis: number): tf.Tensor =>
  tf.mul(r, tf.sub(dy, tf.mul(y, tf.mean(tf.mul(dy, y), axis, true))))

/** (x − mean) / sqrt(variance + eps) over the last axis; no weight. */
export const layerNorm = <T extends tf.Tensor>(x: T, epsilon = normEpsilon): T =>
  rmsNorm(tf.sub<T>(x, tf.mean(x, -1, true)), epsilon)

/** x · sigmoid(x). */
export const silu = <T extends tf.Tensor>(x: T): T => tf.mul(x, tf.sigmoid(x))

/** SiLU of the RMS norm over the last axis, without a weight. */
export const rmsNormSilu = <T extends tf.Tensor>(x: T): T =>
  tf.tidy(() => (fusedAudio().normSilu ? fusedNormSilu(x) : silu(rmsNorm(x))))

const [linearTerm, cubicTerm] = [2 * Math.sqrt(2 / Math.PI), 2 * Math.sqrt(2 / Math.PI) * 0.044715]

/**
 * GELU in its tanh approximation, 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 x³))), written as x · sigmoid(linearTerm · x + cubicTerm · x³): the same
 * function, and a sigmoid is much faster than a tanh in wasm.
 */
export const gelu = <T extends tf.Tensor>(x: T): T =>
  tf.mul(x, tf.sigmoid(tf.mul(x, tf.add(tf.mul(tf.square(x), cubicTerm), linearTerm))))

/** The derivative of `gelu`. */
export function geluDerivative<T extends tf.Tensor>(x: T): T {
  const square = tf.square(x)
  const gate = tf.sigmoid(tf.mul(x, tf.add(tf.mul(square, cubicTerm), linearTerm)))
  const inner = tf.mul(tf.mul(x, tf.sub(1, gate)), tf.add(tf.mul(square, 3 * cubicTerm), linearTerm))
  return tf.mul(gate, tf.add(inner, 1))
}

/** The rotation of rotary position embeddings: the halves [a, b] along an axis become [a·cos − b·sin, b·cos + a·sin]. */
export function rotateHalves<T extends tf.Tensor>(
  x: T,
  { cos, sin }: { cos: tf.Tensor; sin: tf.Tensor },
  axis: number,
): T {
  const [a, b] = tf.split(x, 2, axis) as [T, T]
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], axis) as T
}
