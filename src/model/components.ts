/** Where the parts of the audio path lie in a checkpoint (spec §1.2). */
import { basename } from 'node:path'
import type { Safetensors } from '../checkpoint/safetensors.ts'
import { type Weights, weightsOf } from '../checkpoint/weights.ts'
import { UserError } from '../errors.ts'

export type Components = {
  transformer: Weights
  connector: Weights
  textProjection: Weights
  audioVae: Weights
  vocoder: Weights
}

/** Transformers are also handed around alone, with a shorter prefix or none. */
const transformerPrefixes = ['model.diffusion_model.', 'diffusion_model.', '']

/**
 * The parts of the audio path by name.
 * @throws UserError when the file has no audio stream of LTX at all.
 */
export function ltxComponents(checkpoint: Safetensors): Components {
  const prefix = transformerPrefixes.find((prefix) => checkpoint.tensors.has(`${prefix}audio_patchify_proj.weight`))
  if (prefix === undefined)
    throw new UserError(`${basename(checkpoint.path)} has no audio stream: audio_patchify_proj.weight is missing`, {
      hint: 'use a checkpoint of LTX-2.3, which generates sound; earlier LTX video models do not',
    })
  return {
    transformer: weightsOf(checkpoint, prefix),
    connector: weightsOf(checkpoint, `${prefix}audio_embeddings_connector.`),
    textProjection: weightsOf(checkpoint, 'text_embedding_projection.'),
    audioVae: weightsOf(checkpoint, 'audio_vae.'),
    vocoder: weightsOf(checkpoint, 'vocoder.'),
  }
}

/** What upstream's own audio-only loader selects from the transformer, and the other components of the audio path. */
const audioTensor =
  /audio_attn1|audio_attn2|audio_ff|audio_patchify|audio_proj_out|audio_adaln_single|audio_prompt|audio_scale_shift_table|audio_embeddings_connector|^audio_vae\.|^vocoder\.|audio_aggregate_embed/

export const isAudioTensor = (name: string) => audioTensor.test(name) && !/av_ca|video/.test(name)
