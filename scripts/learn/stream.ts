/** Teaches the audio stream: from a reference and a caption to what the caption says should become of it. The objective is the product's own. */
import * as tf from '@tensorflow/tfjs'
import type { Example } from '../../src/diffusion/flow-matching.ts'
import { drawSigma } from '../../src/diffusion/flow-matching.ts'
import type { HostMatrix } from '../../src/engine/device-tensors.ts'
import { loadTransformer, type Transformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { changeValues, type Tensors, valuesOf } from '../base/tensors.ts'
import type { Loader } from './learnable.ts'

export const loadStream: Loader<Transformer> = ({ transformer }, config) =>
  loadTransformer(transformer, config.transformer)

const stream = 'model.diffusion_model.'

export const isStreamWeight = (name: string) => name.startsWith(stream) && !name.includes('connector')

/**
 * Two things that gradient descent would take long to find: latents enter the residual stream as they are, and every head of self-attention begins
 * with a liking for its own moment, in reference and target alike (equal biases on queries and keys, which only positions turn apart).
 */
export function startStream(tensors: Tensors) {
  const input = `${stream}audio_patchify_proj`
  const latent = valuesOf(tensors, `${input}.weight`).length / valuesOf(tensors, `${input}.bias`).length
  changeValues(tensors, `${input}.weight`, (_, i) => (Math.floor(i / latent) === i % latent ? 1 : 0))
  changeValues(tensors, `${stream}audio_proj_out.weight`, (value) => 0.3 * value)
  for (const [name, { shape }] of tensors) {
    if (!isStreamWeight(name)) continue
    const headDim = (shape[0] as number) / headsIn(tensors)
    if (/audio_attn1\.to_[qk]\.bias$/.test(name))
      changeValues(tensors, name, (_, i) => (i % headDim < headDim / 2 ? 1.2 : 0))
    if (/audio_attn1\.[qk]_norm\.weight$/.test(name)) changeValues(tensors, name, () => 1.8)
  }
}

const headsIn = (tensors: Tensors) =>
  valuesOf(tensors, `${stream}transformer_blocks.0.audio_attn1.to_gate_logits.bias`).length

/** Latents of one sound before and after a change, as patches, and the context of the caption that names it. */
export type Lesson = { before: HostMatrix; after: HostMatrix; context: HostMatrix }

export type StreamOptions = {
  seed: number
  step: number
  batch: number
  /** How many rows of a context are heard: all 1024, or its beginning alone while there is much to learn. */
  rows: number
}

/** Random lessons as one batch. */
export function streamInputs(lessons: readonly Lesson[], { seed, step, batch, rows }: StreamOptions): Example {
  const random = randomFor(seed, 'stream', step)
  const chosen = Array.from({ length: batch }, () => lessons[Math.floor(random.uniform() * lessons.length)] as Lesson)
  const stack = (matrices: HostMatrix[]): tf.Tensor3D => {
    const [frames, width] = (matrices[0] as HostMatrix).shape
    const values = new Float32Array(batch * frames * width)
    for (const [i, matrix] of matrices.entries())
      values.set(matrix.values.subarray(0, frames * width), i * frames * width)
    return tf.tensor3d(values, [batch, frames, width])
  }
  const [frames, width] = (chosen[0] as Lesson).after.shape
  return {
    target: stack(chosen.map(({ after }) => after)),
    reference: stack(chosen.map(({ before }) => before)),
    noise: tf.tensor3d(normals(random, batch * frames * width), [batch, frames, width]),
    sigma: tf.tensor1d(chosen.map(() => drawSigma(random, frames))),
    context: stack(chosen.map(({ context: { shape, values } }) => ({ shape: [rows, shape[1]], values }))),
  }
}
