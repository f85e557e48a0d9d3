/**
 * Rotary position embedding of the "split" kind (reference §6.5): every head has its own frequencies, and rotates the first half of its features
 * against the second. Angles reach 1.6e4, so frequencies and angles are computed in double precision.
 */
import * as tf from '@tensorflow/tfjs'
import type { RotaryTable } from '../engine/operations.ts'

/** Cosines and sines, `[1, H, N, headDim / 2]`. */
export type RopeTable = { cos: tf.Tensor4D; sin: tf.Tensor4D }

export type RopeOptions = { heads: number; headDim: number; theta: number }

/** @param fractions the position of each token as a fraction of the longest position; above 1 and below 0 is allowed. */
export function ropeTable(fractions: ArrayLike<number>, options: RopeOptions): RopeTable {
  const { cos, sin } = ropeValues(fractions, options)
  const shape: [number, number, number, number] = [1, options.heads, fractions.length, options.headDim / 2]
  return { cos: tf.tensor4d(cos, shape), sin: tf.tensor4d(sin, shape) }
}

/** The table for the layout of attention, features × tokens. */
export function tokensLast({ cos, sin }: RopeTable): RotaryTable {
  const transpose = (x: tf.Tensor4D) => tf.transpose(tf.squeeze<tf.Tensor3D>(x, [0]), [0, 2, 1])
  return { cos: transpose(cos), sin: transpose(sin) }
}

/** The positions of latent frames in seconds. Frame i starts at max(4i − 3, 0) hundredths of a second; its position is the middle of the frame. */
export function frameCenterSeconds(frames: number): Float64Array {
  const start = (i: number) => Math.max(4 * i - 3, 0) * 0.01
  return Float64Array.from({ length: frames }, (_, i) => (start(i) + start(i + 1)) / 2)
}

/** angle_j = ω_j · (2 · fraction − 1) with ω_j = (π/2) · theta^(j / (J − 1)); head h has the angles j = h·d/2 … (h + 1)·d/2 − 1 of all J. */
function ropeValues(fractions: ArrayLike<number>, { heads, headDim, theta }: RopeOptions) {
  const half = headDim / 2
  const frequencies = Float64Array.from({ length: heads * half }, (_, j) =>
    Math.fround((Math.PI / 2) * theta ** (j / (heads * half - 1))),
  )
  const cos = new Float32Array(heads * fractions.length * half)
  const sin = new Float32Array(cos.length)
  let index = 0
  for (let head = 0; head < heads; head++)
    for (let token = 0; token < fractions.length; token++)
      for (let j = 0; j < half; j++, index++) {
        const angle = (frequencies[head * half + j] as number) * (2 * (fractions[token] as number) - 1)
        cos[index] = Math.cos(angle)
        sin[index] = Math.sin(angle)
      }
  return { cos, sin }
}
