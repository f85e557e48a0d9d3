/**
 * Rotary positions of the "split" kind (spec §6.5): every head turns its own frequencies, the first half of a head's features against the
 * second. Angles reach 1.6e4, so frequencies and angles are computed in double precision.
 */
import * as tf from '@tensorflow/tfjs'

/** Cosines and sines `[1, H, N, headDim / 2]`. */
export type RopeTable = { cos: tf.Tensor4D; sin: tf.Tensor4D }

export type RopeOptions = { heads: number; headDim: number; theta: number }

/** The rotation for tokens at `fractions` of the longest position (0 … 1, more is allowed). */
export function rotationTable(fractions: ArrayLike<number>, options: RopeOptions): RopeTable {
  const { cos, sin } = rotationAngles(fractions, options)
  const shape: [number, number, number, number] = [1, options.heads, fractions.length, options.headDim / 2]
  return { cos: tf.tensor4d(cos, shape), sin: tf.tensor4d(sin, shape) }
}

/** [a, b] → [a·cos − b·sin, b·cos + a·sin] for the halves of each head's features: `[B, H, N, d]`. */
export function rotate(x: tf.Tensor4D, { cos, sin }: RopeTable): tf.Tensor4D {
  const [a, b] = tf.split(x, 2, -1) as [tf.Tensor4D, tf.Tensor4D]
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], -1)
}

/** Position p of latent frame i starts at max(4i − 3, 0) hundredths of a second; a token stands at the middle of its frame. */
export function latentFrameMiddles(frames: number, framesPerLatent = 4, secondsPerFrame = 0.01): Float64Array {
  const start = (i: number) => Math.max(framesPerLatent * i + 1 - framesPerLatent, 0) * secondsPerFrame
  return Float64Array.from({ length: frames }, (_, i) => (start(i) + start(i + 1)) / 2)
}

function rotationAngles(fractions: ArrayLike<number>, { heads, headDim, theta }: RopeOptions) {
  const half = headDim / 2
  const frequencies = Float64Array.from({ length: heads * half }, (_, j) =>
    Math.fround((Math.PI / 2) * theta ** (j / (heads * half - 1))),
  )
  const cos = new Float32Array(heads * fractions.length * half)
  const sin = new Float32Array(cos.length)
  let at = 0
  for (let head = 0; head < heads; head++)
    for (let token = 0; token < fractions.length; token++)
      for (let j = 0; j < half; j++, at++) {
        const angle = (frequencies[head * half + j] as number) * (2 * (fractions[token] as number) - 1)
        cos[at] = Math.cos(angle)
        sin[at] = Math.sin(angle)
      }
  return { cos, sin }
}
