/**
 * Layouts of a checkpoint (reference §1.2, §1.8): the released file holds everything, others hold only the transformer, the audio VAE with the vocoder,
 * or the text projection, with shorter names or the same. All are read under the names of the released file.
 */

import { basename } from 'node:path'
import type { Safetensors } from '../formats/safetensors.ts'
import type { Metadata, TensorInfo } from '../formats/safetensors-header.ts'
import { joined } from '../formats/shards.ts'
import { UserError } from '../platform/errors.ts'
import { type Weights, weightsOf } from './weights.ts'

type Names = { has(name: string): boolean }

/** One file's tensor names → their names in the released file. A name that no layout explains stays as it is. */
export function nameNormalizer(stored: Names): (name: string) => string {
  const isBareAudioVae =
    stored.has('encoder.mid.block_1.conv1.conv.weight') || stored.has('decoder.mid.block_1.conv1.conv.weight')
  const isBareVocoder = stored.has('bwe_generator.conv_pre.weight')
  return (name) => {
    const [, inTransformer] = transformerName.exec(name) ?? []
    if (inTransformer !== undefined) return `model.diffusion_model.${inTransformer}`
    const [, inProjection] = projectionName.exec(name) ?? []
    if (inProjection !== undefined) return `text_embedding_projection.${inProjection}`
    if (isBareAudioVae && /^(encoder|decoder|per_channel_statistics)\./.test(name)) return `audio_vae.${name}`
    if (isBareVocoder && /^(vocoder|bwe_generator|mel_stft)\./.test(name)) return `vocoder.${name}`
    return name
  }
}

const transformerName =
  /^(?:model\.)?(?:diffusion_model\.)?((?:transformer_blocks|audio_patchify_proj|audio_adaln_single|audio_prompt_adaln_single|audio_proj_out|audio_caption_projection|audio_embeddings_connector)\..+|audio_scale_shift_table)$/

const projectionName =
  /^(?:model\.)?(?:diffusion_model\.)?(?:text_embedding_projection\.)?((?:audio_)?aggregate_embed\..+)$/

/** Files that together hold a checkpoint, as the released file would be; their configs are put together too. Closing it closes them. */
export function normalizeLayout(parts: readonly Safetensors[]): Safetensors {
  const views = parts.map((part) => renameTensors(part, nameNormalizer(part.tensors)))
  const [only, ...others] = views
  if (only && others.length === 0) return only
  const path = parts.map(({ path }) => path.split(/[/\\]/).at(-1)).join(' + ')
  const whole = joined(path, views)
  const configs = parts.flatMap(({ metadata }) => configSections(metadata.config))
  return configs.length === 0
    ? whole
    : { ...whole, metadata: { ...whole.metadata, config: JSON.stringify(Object.assign({}, ...configs)) } }
}

/** A config that is not JSON is no part of the whole one; what it should have said is missed by name. */
function configSections(config: string | undefined): object[] {
  try {
    const sections: unknown = JSON.parse(config ?? 'null')
    return typeof sections === 'object' && sections !== null ? [sections] : []
  } catch {
    return []
  }
}

/** Where the parts of the audio path lie in a checkpoint (reference §1.2). */

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
const componentTensors = {
  'audio stream': 'model.diffusion_model.audio_patchify_proj.weight',
  'audio connector': 'model.diffusion_model.audio_embeddings_connector.learnable_registers',
  'text projection': 'text_embedding_projection.audio_aggregate_embed.weight',
  'audio VAE encoder': 'audio_vae.encoder.conv_in.conv.weight',
  'audio VAE decoder': 'audio_vae.decoder.conv_in.conv.weight',
  vocoder: 'vocoder.vocoder.conv_pre.weight',
}

/** @throws UserError that lists every component the checkpoint lacks. */
export function requireComponents(checkpoint: Safetensors) {
  const missing = Object.entries(componentTensors).flatMap(([component, name]) =>
    checkpoint.tensors.has(name) ? [] : [component],
  )
  if (missing.length === 0) return
  const hint =
    missing.length === Object.keys(componentTensors).length
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

/** Which release of LTX a checkpoint is of. Only 2.3 is computed here; its neighbours look alike and are told by what they say of themselves. */

/**
 * Lets LTX-2.3 pass, and whatever says nothing of its release.
 * @param file its name, for the message. @param names of its tensors, in the released layout.
 * @throws UserError for LTX-2.0 (19B), LTX-2.5 and other releases.
 */
export function requireKnownRelease(file: string, metadata: Metadata, names: { has(name: string): boolean }) {
  const release = releaseOf(metadata, names)
  if (release === undefined || release === '2.3') return
  const why =
    release === '2.0'
      ? 'an LTX-2.0 checkpoint (19B), whose captions and sound take another way'
      : `an LTX-${release} checkpoint, which this version of the tool does not know`
  throw new UserError(`${file} is ${why}`, {
    hint: 'use ltx-2.3-22b-dev.safetensors; LoRAs do not carry over between releases',
  })
}

/** `2.3`; undefined where the file does not say. */
function releaseOf({ model_version: version = '', ...metadata }: Metadata, names: { has(name: string): boolean }) {
  if (tensorsOf20.some((name) => names.has(name))) return '2.0'
  const [, release] = /^v?(\d+\.\d+)/.exec(version) ?? []
  if (release !== undefined) return release
  return metadata.gemma_source_checkpoint === undefined ? undefined : '2.5' // only newer files name their text encoder
}

/** Captions are projected inside its transformer, by one matrix for sound and picture before it (reference §1.6). */
const tensorsOf20 = [
  'model.diffusion_model.audio_caption_projection.linear_1.weight',
  'text_embedding_projection.aggregate_embed.weight',
]

/** The same file under other names: how one layout of a checkpoint is read as another. */

/** Reads go through to `file`, which is closed with the view. Two tensors that would get one name are our bug. */
export function renameTensors(file: Safetensors, newName: (name: string) => string): Safetensors {
  const stored = new Map([...file.tensors.keys()].map((name) => [newName(name), name]))
  if (stored.size !== file.tensors.size) throw new Error(`${file.path}: two tensors would get one name`)
  const nameOf = (name: string) => {
    const found = stored.get(name)
    if (found === undefined) throw new Error(`${file.path} has no tensor ${name}`)
    return found
  }
  return {
    path: file.path,
    metadata: file.metadata,
    tensors: new Map([...stored].map(([name, old]) => [name, file.tensors.get(old) as TensorInfo])),
    read: (name) => file.read(nameOf(name)),
    lend: (name) => file.lend(nameOf(name)),
    readAhead: (names) => file.readAhead(names.map(nameOf)),
    readRows: (name, rows) => file.readRows(nameOf(name), rows),
    float32: (name) => file.float32(nameOf(name)),
    readStart: (name, count) => file.readStart(nameOf(name), count),
    close: file.close,
  }
}
