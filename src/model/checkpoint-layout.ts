/**
 * The layouts of a checkpoint (reference §1.2, §1.8, §10.1). The released file of LTX-2.3 contains all components. The files of LTX-2.5 and others contain
 * only the transformer, the audio VAE with the vocoder, or the text projection, with the same tensor names or shorter ones. All of them are read under the
 * names of the released file of LTX-2.3.
 */
import { basename } from 'node:path'
import type { Safetensors } from '../formats/safetensors.ts'
import { joinSafetensors, viewTensors } from '../formats/shards.ts'
import { UserError } from '../platform/errors.ts'
import { parseConfig, transformerPrefix, vocoderPrefix } from './config.ts'
import type { Names, Release } from './release.ts'
import { hasTensors, type Weights, weightsOf } from './weights.ts'

/** The weights of each component of the audio path. */
export type Components = {
  transformer: Weights
  connector: Weights
  textProjection: Weights
  audioVae: Weights
  /** Without tensors where the base has no vocoder. */
  vocoder: Weights
}

/** @param checkpoint in the layout of the released file, from `normalizeLayout`. */
export const ltxComponents = (checkpoint: Safetensors): Components => ({
  transformer: weightsOf(checkpoint, sectionPrefixes.transformer),
  connector: weightsOf(checkpoint, `${transformerPrefix}audio_embeddings_connector.`),
  textProjection: weightsOf(checkpoint, 'text_embedding_projection.'),
  audioVae: weightsOf(checkpoint, sectionPrefixes.audio_vae),
  vocoder: weightsOf(checkpoint, sectionPrefixes.vocoder),
})

/** The files of a checkpoint as one file in the released layout. Their configs are merged. Closing it closes them. */
export function normalizeLayout(parts: readonly Safetensors[]): Safetensors {
  const views = parts.map((part) => viewTensors(part, storedNames(part)))
  const [only, ...others] = views
  if (only && others.length === 0) return only
  const path = parts.map(({ path }) => path.split(/[/\\]/).at(-1)).join(' + ')
  const whole = joinSafetensors(path, views)
  const config = mergedConfig(views)
  const [transformer] = views.filter(({ tensors }) => hasTensors(tensors, transformerPrefix))
  return { ...whole, metadata: { ...whole.metadata, ...transformer?.metadata, ...(config && { config }) } }
}

/** The prefix of the tensors that a section of the config describes. */
const sectionPrefixes = { transformer: transformerPrefix, audio_vae: 'audio_vae.', vocoder: vocoderPrefix }

/** Every section from the file that holds its tensors, or from any file if that one has no such section. Undefined where no file has a config. */
export function mergedConfig(views: readonly Pick<Safetensors, 'path' | 'metadata' | 'tensors'>[]): string | undefined {
  const configs = views.flatMap(({ path, metadata, tensors }) =>
    metadata.config === undefined ? [] : [{ tensors, sections: configSections(metadata.config, basename(path)) }],
  )
  if (configs.length === 0) return undefined
  const merged: Record<string, unknown> = Object.assign({}, ...configs.map(({ sections }) => sections))
  for (const [section, prefix] of Object.entries(sectionPrefixes)) {
    const own = configs.find(({ tensors, sections }) => sections[section] !== undefined && hasTensors(tensors, prefix))
    if (own) merged[section] = own.sections[section]
  }
  return JSON.stringify(merged)
}

/** The name in a file of every tensor, by its name in the released file. */
function storedNames({ path, tensors }: Safetensors): Map<string, string> {
  const newName = nameNormalizer(tensors)
  const stored = new Map<string, string>()
  for (const name of tensors.keys()) {
    const other = stored.get(newName(name))
    if (other !== undefined)
      throw new UserError(`${basename(path)} holds ${newName(name)} twice, as ${other} and as ${name}`, {
        hint: 'use another copy of the model',
      })
    stored.set(newName(name), name)
  }
  return stored
}

/** The sections of a config; those that are null are as good as missing. @throws UserError when it is not JSON, or has a key twice. */
function configSections(config: string, file: string): Record<string, unknown> {
  const sections = parseConfig(config, file)
  if (typeof sections !== 'object' || sections === null) return {}
  return Object.fromEntries(Object.entries(sections).filter(([, section]) => section !== null))
}

/** A function from a tensor's name in a file to its name in the released file. Unknown names stay as they are. */
export function nameNormalizer(stored: Names): (name: string) => string {
  const isBareAudioVae =
    stored.has('encoder.mid.block_1.conv1.conv.weight') || stored.has('decoder.mid.block_1.conv1.conv.weight')
  const isBareVocoder = stored.has('bwe_generator.conv_pre.weight') || stored.has('vocoder.conv_pre.weight')
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

/** The tensors that the reference implementation's audio-only loader selects from the transformer, and the other components of the audio path. */
const audioTensor =
  /audio_attn1|audio_attn2|audio_ff|audio_patchify|audio_proj_out|audio_adaln_single|audio_prompt|audio_scale_shift_table|audio_embeddings_connector|^audio_vae\.|^vocoder\.|audio_aggregate_embed/

/** Whether a tensor is part of the audio path. @param name in the layout of the released file. */
export const isAudioTensor = (name: string) => audioTensor.test(name) && !/av_ca|video/.test(name)

/** One tensor of each component that a base needs, by the name of the component in messages. The vocoder is not among them. */
export const componentTensors = {
  'audio stream': 'model.diffusion_model.audio_patchify_proj.weight',
  'audio connector': 'model.diffusion_model.audio_embeddings_connector.learnable_registers',
  'text projection': 'text_embedding_projection.audio_aggregate_embed.weight',
  'audio VAE encoder': 'audio_vae.encoder.conv_in.conv.weight',
  'audio VAE decoder': 'audio_vae.decoder.conv_in.conv.weight',
}

/** The components of which there is nothing, as they are called in messages. @param names in the layout of the released file. */
export const missingComponents = (names: Names): string[] =>
  Object.entries(componentTensors).flatMap(([component, name]) => (names.has(name) ? [] : [component]))

/**
 * @param release that of the checkpoint. The text projection of LTX-2.5 may be missing: it is in the file of the text encoder.
 * @throws UserError that lists every component that is missing.
 */
export function requireComponents(checkpoint: Safetensors, release: Release) {
  const isNeeded = (component: string) => release === '2.3' || component !== 'text projection'
  const missing = missingComponents(checkpoint.tensors).filter(isNeeded)
  if (missing.length === 0) return
  throw new UserError(`${basename(checkpoint.path)} has no ${listed(missing)}`, {
    hint:
      missing.length === Object.keys(componentTensors).filter(isNeeded).length
        ? 'use a checkpoint of LTX-2.3 or LTX-2.5, which generate audio; older LTX video models do not'
        : partsHint[release],
  })
}

const partsHint: Record<Release, string> = {
  '2.3':
    'add the files that contain them: --model transformer.safetensors,audio-vae.safetensors,text-projection.safetensors',
  '2.5':
    'LTX-2.5 has one file for each component: --model transformer.safetensors,audio-vae.safetensors --text-encoder gemma4-12b-with-proj.safetensors',
}

const listed = (names: readonly string[]) =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and no ${names.at(-1)}`
