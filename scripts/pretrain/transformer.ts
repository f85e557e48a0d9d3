/** Trains the transformer to turn a reference into what the caption says, with the training objective of `src/diffusion`. */
import * as tf from '@tensorflow/tfjs'
import { drawSigma, type Example } from '../../src/diffusion/flow-matching.ts'
import type { HostMatrix } from '../../src/engine/device-tensors.ts'
import { loadTransformer, type Transformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { mapValues, type Tensors, valuesOf } from '../base/tensors.ts'
import type { Loader } from './trainable.ts'

export const loadAudioStream: Loader<Transformer> = ({ transformer }, config) =>
  loadTransformer(transformer, config.transformer)

const prefix = 'model.diffusion_model.'

export const isTransformerWeight = (name: string) => name.startsWith(prefix) && !name.includes('connector')

/**
 * Two initializations that save much training: the input projection is the identity, and every head of self-attention attends mostly to tokens at its
 * own position, in reference and target. Queries and keys have the same large bias, so their product depends on the rotary positions alone.
 */
export function initTransformer(tensors: Tensors) {
  const input = `${prefix}audio_patchify_proj`
  const latent = valuesOf(tensors, `${input}.weight`).length / valuesOf(tensors, `${input}.bias`).length
  mapValues(tensors, `${input}.weight`, (_, i) => (Math.floor(i / latent) === i % latent ? 1 : 0))
  mapValues(tensors, `${prefix}audio_proj_out.weight`, (value) => 0.3 * value)
  for (const [name, { shape }] of tensors) {
    if (!isTransformerWeight(name)) continue
    const headDim = (shape[0] as number) / headCount(tensors)
    if (/audio_attn1\.to_[qk]\.bias$/.test(name))
      mapValues(tensors, name, (_, i) => (i % headDim < headDim / 2 ? 1.2 : 0))
    if (/audio_attn1\.[qk]_norm\.weight$/.test(name)) mapValues(tensors, name, () => 1.8)
  }
}

const headCount = (tensors: Tensors) =>
  valuesOf(tensors, `${prefix}transformer_blocks.0.audio_attn1.to_gate_logits.bias`).length

/** The latents of a clip without and with an effect, as patches, and the context of its caption. */
export type TrainingPair = { reference: HostMatrix; target: HostMatrix; context: HostMatrix }

export type BatchOptions = {
  seed: number
  step: number
  batch: number
  /** The number of context rows that are used: all 1024, or fewer for faster steps. */
  contextRows: number
}

/** A batch of random pairs. */
export function transformerBatch(
  pairs: readonly TrainingPair[],
  { seed, step, batch, contextRows }: BatchOptions,
): Example {
  const random = randomFor(seed, 'stream', step)
  const chosen = Array.from({ length: batch }, () => pairs[Math.floor(random.uniform() * pairs.length)] as TrainingPair)
  const stack = (matrices: HostMatrix[]): tf.Tensor3D => {
    const [frames, width] = (matrices[0] as HostMatrix).shape
    const values = new Float32Array(batch * frames * width)
    for (const [i, matrix] of matrices.entries())
      values.set(matrix.values.subarray(0, frames * width), i * frames * width)
    return tf.tensor3d(values, [batch, frames, width])
  }
  const [frames, width] = (chosen[0] as TrainingPair).target.shape
  return {
    target: stack(chosen.map(({ target }) => target)),
    reference: stack(chosen.map(({ reference }) => reference)),
    noise: tf.tensor3d(normals(random, batch * frames * width), [batch, frames, width]),
    sigma: tf.tensor1d(chosen.map(() => drawSigma(random, frames))),
    context: stack(chosen.map(({ context: { shape, values } }) => ({ shape: [contextRows, shape[1]], values }))),
  }
}
