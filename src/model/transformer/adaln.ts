/** How a noise level becomes a modulation (spec §6.2): sinusoid → two linears → SiLU → one linear. */
import * as tf from '@tensorflow/tfjs'
import { type Linear, linear, loadLinear, silu } from '../layers.ts'
import type { Weights } from '../weights.ts'

export type TimestepModulation = { first: Linear; second: Linear; rows: Linear; features: number; multiplier: number }

/** @param rows how many shift, scale and gate vectors of `width` it gives; `multiplier` turns a sigma into a timestep. */
export function loadTimestepModulation(
  weights: Weights,
  width: number,
  rows: number,
  multiplier: number,
): TimestepModulation {
  const embedder = weights.at('emb.timestep_embedder')
  const [, features] = embedder.shape('linear_1.weight') as [number, number]
  return {
    first: loadLinear(embedder.at('linear_1'), features, width),
    second: loadLinear(embedder.at('linear_2'), width, width),
    rows: loadLinear(weights.at('linear'), width, rows * width),
    features,
    multiplier,
  }
}

/** Sigmas `[n]` → the embedding `[n, D]` and the modulation `[n, rows · D]`. */
export function modulate(layer: TimestepModulation, sigmas: tf.Tensor1D) {
  const timesteps = tf.mul<tf.Tensor1D>(sigmas, layer.multiplier)
  const embedding = linear(layer.second, silu(linear(layer.first, sinusoid(timesteps, layer.features))))
  return { embedding, rows: linear(layer.rows, silu(embedding)) }
}

/** `[n] → [n, features]`: the cosines of all frequencies, then their sines; frequencies fall from 1 to nearly 1e-4. */
export function sinusoid(timesteps: tf.Tensor1D, features: number): tf.Tensor2D {
  const half = features / 2
  const frequencies = Float32Array.from({ length: half }, (_, j) => Math.exp((-Math.log(10_000) * j) / half))
  const angles = tf.mul(tf.expandDims(timesteps, 1), tf.tensor2d(frequencies, [1, half]))
  return tf.concat([tf.cos(angles), tf.sin(angles)], 1) as tf.Tensor2D
}
