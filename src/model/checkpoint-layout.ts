/**
 * The layouts of a checkpoint (reference §1.2, §1.8). The released file contains all components. Other files contain only the transformer, the audio
 * VAE with the vocoder, or the text projection, with the same tensor names or shorter ones. All of them are read under the names of the released file.
 */
import { basename } from 'node:path'
import type { Safetensors } from '../formats/safetensors.ts'
import type { Metadata, TensorInfo } from '../formats/safetensors-header.ts'
import { joinSafetensors } from '../formats/shards.ts'
import { UserError } from '../platform/errors.ts'
import { type Weights, weightsOf } from './weights.ts'

/** The names of a file's tensors. */
type Names = { has(name: string): boolean }

/** The weights of each component of the audio path. */
export type Components = {
  transformer: Weights
  connector: Weights
  textProjection: Weights
  audioVae: Weights
  vocoder: Weights
}

/** @param checkpoint in the layout of the released file, from `normalizeLayout`. */
export const ltxComponents = (checkpoint: Safetensors): Components => ({
  transformer: weightsOf(checkpoint, 'model.diffusion_model.'),
  connector: weightsOf(checkpoint, 'model.diffusion_model.audio_embeddings_connector.'),
  textProjection: weightsOf(checkpoint, 'text_embedding_projection.'),
  audioVae: weightsOf(checkpoint, 'audio_vae.'),
  vocoder: weightsOf(checkpoint, 'vocoder.'),
})

/** The files of a checkpoint as one file in the released layout. Their configs are merged. Closing it closes them. */
export function normalizeLayout(parts: readonly Safetensors[]): Safetensors {
  const views = parts.map((part) => renameTensors(part, nameNormalizer(part.tensors)))
  const [only, ...others] = views
  if (only && others.length === 0) return only
  const path = parts.map(({ path }) => path.split(/[/\\]/).at(-1)).join(' + ')
  const whole = joinSafetensors(path, views)
  const configs = parts.flatMap(({ metadata }) => configSections(metadata.config))
  return configs.length === 0
    ? whole
    : { ...whole, metadata: { ...whole.metadata, config: JSON.stringify(Object.assign({}, ...configs)) } }
}

/** Skips a config that is not JSON: `readModelConfig` then reports the sections that are missing. */
function configSections(config: string | undefined): object[] {
  try {
    const sections: unknown = JSON.parse(config ?? 'null')
    return typeof sections === 'object' && sections !== null ? [sections] : []
  } catch {
    return []
  }
}

/** A function from a tensor's name in a file to its name in the released file. Unknown names stay as they are. */
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

/** A view of a file under other tensor names. Closing it closes the file. */
function renameTensors(file: Safetensors, newName: (name: string) => string): Safetensors {
  const stored = new Map([...file.tensors.keys()].map((name) => [newName(name), name]))
  if (stored.size !== file.tensors.size) throw new Error(`${file.path}: two tensors would get the same name`)
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
    readPooled: (name) => file.readPooled(nameOf(name)),
    readAhead: (names) => file.readAhead(names.map(nameOf)),
    readRows: (name, rows) => file.readRows(nameOf(name), rows),
    float32: (name) => file.float32(nameOf(name)),
    readStart: (name, count) => file.readStart(nameOf(name), count),
    close: file.close,
  }
}

/** The tensors that the reference implementation's audio-only loader selects from the transformer, and the other components of the audio path. */
const audioTensor =
  /audio_attn1|audio_attn2|audio_ff|audio_patchify|audio_proj_out|audio_adaln_single|audio_prompt|audio_scale_shift_table|audio_embeddings_connector|^audio_vae\.|^vocoder\.|audio_aggregate_embed/

/** Whether a tensor is part of the audio path. @param name in the layout of the released file. */
export const isAudioTensor = (name: string) => audioTensor.test(name) && !/av_ca|video/.test(name)

/** One tensor of each component, by the name of the component in messages. */
const componentTensors = {
  'audio stream': 'model.diffusion_model.audio_patchify_proj.weight',
  'audio connector': 'model.diffusion_model.audio_embeddings_connector.learnable_registers',
  'text projection': 'text_embedding_projection.audio_aggregate_embed.weight',
  'audio VAE encoder': 'audio_vae.encoder.conv_in.conv.weight',
  'audio VAE decoder': 'audio_vae.decoder.conv_in.conv.weight',
  vocoder: 'vocoder.vocoder.conv_pre.weight',
}

/** @throws UserError that lists every component that is missing. */
export function requireComponents(checkpoint: Safetensors) {
  const missing = Object.entries(componentTensors).flatMap(([component, name]) =>
    checkpoint.tensors.has(name) ? [] : [component],
  )
  if (missing.length === 0) return
  const hint =
    missing.length === Object.keys(componentTensors).length
      ? 'use a checkpoint of LTX-2.3, which generates audio; older LTX video models do not'
      : 'add the files that contain them: --model transformer.safetensors,audio-vae.safetensors,text-projection.safetensors'
  throw new UserError(`${basename(checkpoint.path)} has no ${listed(missing)}`, { hint })
}

const listed = (names: readonly string[]) =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and no ${names.at(-1)}`

/**
 * Accepts LTX-2.3 and files that do not say which release they are.
 * @param file its name, for the message.
 * @param names the names of its tensors, in the released layout.
 * @throws UserError for LTX-2.0 (19B), LTX-2.5 and other releases.
 */
export function requireKnownRelease(file: string, metadata: Metadata, names: Names) {
  const release = releaseOf(metadata, names)
  if (release === undefined || release === '2.3') return
  const what =
    release === '2.0'
      ? 'an LTX-2.0 checkpoint (19B), which has another text path and another vocoder'
      : `an LTX-${release} checkpoint, which this version of ltx-a2a does not support`
  throw new UserError(`${file} is ${what}`, {
    hint: 'use ltx-2.3-22b-dev.safetensors; a LoRA works only with the release it was trained on',
  })
}

/** For example `2.3`; undefined when the file does not say. */
function releaseOf({ model_version: version = '', ...metadata }: Metadata, names: Names) {
  if (tensorsOf20.some((name) => names.has(name))) return '2.0'
  const [, release] = /^v?(\d+\.\d+)/.exec(version) ?? []
  if (release !== undefined) return release
  return metadata.gemma_source_checkpoint === undefined ? undefined : '2.5' // only newer files name their text encoder
}

/** LTX-2.0 projects captions inside its transformer, and has one text projection for audio and video (reference §1.6). */
const tensorsOf20 = [
  'model.diffusion_model.audio_caption_projection.linear_1.weight',
  'text_embedding_projection.aggregate_embed.weight',
]
