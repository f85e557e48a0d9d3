/**
 * Adaptive layer norm (AdaLN-single): sigma → sinusoidal embedding → two linear layers → SiLU → one linear layer → the shifts, scales and gates that
 * modulate the blocks (reference §6.2).
 */
import * as tf from '@tensorflow/tfjs'
import { silu } from '../../engine/activations.ts'
import { type Linear, linear, loadLinear } from '../layers.ts'
import type { Weights } from '../weights.ts'

export type AdaLn = { first: Linear; second: Linear; output: Linear; features: number; multiplier: number }

/**
 * @param params the number of vectors of `width` that modulate a block.
 * @param multiplier timestep = multiplier · sigma.
 */
export function loadAdaLn(weights: Weights, width: number, params: number, multiplier: number): AdaLn {
  const embedder = weights.at('emb.timestep_embedder')
  const [, features] = embedder.shape('linear_1.weight') as [number, number]
  return {
    first: loadLinear(embedder.at('linear_1'), features, width),
    second: loadLinear(embedder.at('linear_2'), width, width),
    output: loadLinear(weights.at('linear'), width, params * width),
    features,
    multiplier,
  }
}

/** Sigmas `[n]` → the embedding `[n, D]` and the modulation `[n, params · D]`. */
export function timestepModulation(layer: AdaLn, sigmas: tf.Tensor1D) {
  const timesteps = tf.mul<tf.Tensor1D>(sigmas, layer.multiplier)
  const embedding = linear(layer.second, silu(linear(layer.first, timestepEmbedding(timesteps, layer.features))))
  return { embedding, modulation: linear(layer.output, silu(embedding)) }
}

/** `[n] → [n, features]`: the cosines of all frequencies, then their sines. The frequencies fall from 1 to nearly 1e-4. */
export function timestepEmbedding(timesteps: tf.Tensor1D, features: number): tf.Tensor2D {
  const half = features / 2
  const frequencies = Float32Array.from({ length: half }, (_, j) => Math.exp((-Math.log(10_000) * j) / half))
  const angles = tf.mul(tf.expandDims(timesteps, 1), tf.tensor2d(frequencies, [1, half]))
  return tf.concat([tf.cos(angles), tf.sin(angles)], 1) as tf.Tensor2D
}

/**
 * The modulation of a block, of its context or of the output: a learned table plus what follows from sigma, split into its parts.
 * @param names the parts in the order of the table's rows.
 * @param table `[names, D]`. @param modulation `[n, names · D]` for n noise levels.
 * @param spread brings a part, `[n, D]`, to the shape of what it modulates.
 */
export function modulationParams<Name extends string, T>(
  names: readonly Name[],
  table: tf.Tensor2D,
  modulation: tf.Tensor2D,
  spread: (part: tf.Tensor2D) => T,
): Record<Name, T> {
  const [levels] = modulation.shape
  const parts = tf.unstack(tf.add(tf.reshape(modulation, [levels, names.length, -1]), table), 1) as tf.Tensor2D[]
  return Object.fromEntries(names.map((name, i) => [name, spread(parts[i] as tf.Tensor2D)])) as Record<Name, T>
}
