/**
 * Layouts of a checkpoint (spec §1.2, §1.8): the released file holds everything, others hold only the transformer, the audio VAE with the vocoder,
 * or the text projection, with shorter names or the same. All are read under the names of the released file.
 */
import { renamed } from '../checkpoint/renamed.ts'
import type { Safetensors } from '../checkpoint/safetensors.ts'
import { joined } from '../checkpoint/shards.ts'

type Names = { has(name: string): boolean }

/** One file's tensor names → their names in the released file. A name that no layout explains stays as it is. */
export function unifiedNames(stored: Names): (name: string) => string {
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
export function unified(parts: readonly Safetensors[]): Safetensors {
  const views = parts.map((part) => renamed(part, unifiedNames(part.tensors)))
  const [only, ...others] = views
  if (only && others.length === 0) return only
  const path = parts.map(({ path }) => path.split(/[/\\]/).at(-1)).join(' + ')
  const whole = joined(path, views)
  const configs = parts.flatMap(({ metadata }) => sectionsOf(metadata.config))
  return configs.length === 0
    ? whole
    : { ...whole, metadata: { ...whole.metadata, config: JSON.stringify(Object.assign({}, ...configs)) } }
}

/** A config that is not JSON is no part of the whole one; what it should have said is missed by name. */
function sectionsOf(config: string | undefined): object[] {
  try {
    const sections: unknown = JSON.parse(config ?? 'null')
    return typeof sections === 'object' && sections !== null ? [sections] : []
  } catch {
    return []
  }
}
