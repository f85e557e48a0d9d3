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

/**
 * The parts of the audio path by name.
 * @param checkpoint in the layout of the released file, as `unified` makes it of any other.
 */
export const ltxComponents = (checkpoint: Safetensors): Components => ({
  transformer: weightsOf(checkpoint, 'model.diffusion_model.'),
  connector: weightsOf(checkpoint, 'model.diffusion_model.audio_embeddings_connector.'),
  textProjection: weightsOf(checkpoint, 'text_embedding_projection.'),
  audioVae: weightsOf(checkpoint, 'audio_vae.'),
  vocoder: weightsOf(checkpoint, 'vocoder.'),
})

/** One tensor that tells whether a component is there, and what people call it. */
const marks = {
  'audio stream': 'model.diffusion_model.audio_patchify_proj.weight',
  'audio connector': 'model.diffusion_model.audio_embeddings_connector.learnable_registers',
  'text projection': 'text_embedding_projection.audio_aggregate_embed.weight',
  'audio VAE encoder': 'audio_vae.encoder.conv_in.conv.weight',
  'audio VAE decoder': 'audio_vae.decoder.conv_in.conv.weight',
  vocoder: 'vocoder.vocoder.conv_pre.weight',
}

/** @throws UserError that lists every component the checkpoint lacks. */
export function requireComponents(checkpoint: Safetensors) {
  const missing = Object.entries(marks).flatMap(([component, name]) =>
    checkpoint.tensors.has(name) ? [] : [component],
  )
  if (missing.length === 0) return
  const hint =
    missing.length === Object.keys(marks).length
      ? 'use a checkpoint of LTX-2.3, which generates sound; earlier LTX video models do not'
      : 'add the files that hold them: --model transformer.safetensors,audio-vae.safetensors,text-projection.safetensors'
  throw new UserError(`${basename(checkpoint.path)} has no ${listed(missing)}`, { hint })
}

const listed = (names: readonly string[]) =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and no ${names.at(-1)}`

/** What upstream's own audio-only loader selects from the transformer, and the other components of the audio path. */
const audioTensor =
  /audio_attn1|audio_attn2|audio_ff|audio_patchify|audio_proj_out|audio_adaln_single|audio_prompt|audio_scale_shift_table|audio_embeddings_connector|^audio_vae\.|^vocoder\.|audio_aggregate_embed/

/** @param name in the layout of the released file. */
export const isAudioTensor = (name: string) => audioTensor.test(name) && !/av_ca|video/.test(name)
