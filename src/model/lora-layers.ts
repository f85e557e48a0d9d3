/** The layers of LTX-2 that LoRAs adapt: their names in files of other trainers, and which stream they belong to. */
import { isAudioTensor } from './checkpoint-layout.ts'

/**
 * What a layer is to an audio-to-audio LoRA: one of the ten per block that are adapted here, another layer of the audio path, one that has no effect
 * without video, or no layer of LTX-2 at all.
 */
export type LayerKind = 'adapted' | 'audio' | 'video' | 'unknown'

/** @param name in the released checkpoint, without `model.diffusion_model.`. */
export function kindOfLayer(name: string): LayerKind {
  if (adaptedLayer.test(name)) return 'adapted'
  if (!knownLayer.test(name)) return 'unknown'
  return isAudioTensor(name) ? 'audio' : 'video'
}

/** All layers of a transformer that are adapted here. */
export const adaptedLayers = (blocks: number): string[] =>
  Array.from({ length: blocks }, (_, block) =>
    adaptedInBlock.map((layer) => `transformer_blocks.${block}.${layer}`),
  ).flat()

const adaptedInBlock = [
  ...['audio_attn1', 'audio_attn2'].flatMap((attention) =>
    ['to_k', 'to_q', 'to_v', 'to_out.0'].map((projection) => `${attention}.${projection}`),
  ),
  ...['audio_ff.net.0.proj', 'audio_ff.net.2'],
]

const adaptedLayer = /^transformer_blocks\.\d+\.(audio_attn[12]\.to_(q|k|v|out\.0)|audio_ff\.net\.(0\.proj|2))$/

const projections = ['to_q', 'to_k', 'to_v', 'to_out.0', 'to_gate_logits']

const attentions = ['attn1', 'attn2', 'audio_attn1', 'audio_attn2', 'audio_to_video_attn', 'video_to_audio_attn']

/** The layers within a block. */
const blockLayers = [
  ...attentions.flatMap((attention) => projections.map((projection) => `${attention}.${projection}`)),
  ...['ff', 'audio_ff'].flatMap((feedForward) => [`${feedForward}.net.0.proj`, `${feedForward}.net.2`]),
]

/** The layers within the embedding of the noise level. */
const adalnLayers = ['emb.timestep_embedder.linear_1', 'emb.timestep_embedder.linear_2', 'linear']

const escaped = (names: readonly string[]) => names.map((name) => name.replaceAll('.', '\\.')).join('|')

const knownLayer = new RegExp(
  [
    `^transformer_blocks\\.\\d+\\.(${escaped(blockLayers)})$`,
    `^(audio|video)_embeddings_connector\\.transformer_1d_blocks\\.\\d+\\.(${escaped(blockLayers)})$`,
    `^\\w*adaln_single\\.(${escaped(adalnLayers)})$`,
    '^(audio_)?(patchify_proj|proj_out)$',
    '^(audio_|video_)?aggregate_embed$',
    '^(audio_)?caption_projection\\.linear_[12]$',
  ].join('|'),
)

/** The name of a layer in the released checkpoint, from its name in the file of any trainer. A name that is not understood stays as it is. */
export function releasedLayerName(name: string): string {
  const [, flat] = flatName.exec(name) ?? []
  if (flat !== undefined) return fromFlatName(flat) ?? name
  return name
    .replace(outerNames, '')
    .replace('.processor.', '.')
    .replace(/\.to_out$/, '.to_out.0')
}

/** How trainers call the transformer, or what they wrap it in. */
const outerNames = /^(?:(?:base_model|model|module|pipe|dit|transformer|diffusion_model|text_embedding_projection)\.)+/

/** Trainers in the tradition of kohya write underscores for dots. The names that they put before the layer are also without dots. */
const flatName =
  /^(?:lora_(?:unet|transformer|dit)|lycoris)_(?:base_)?(?:model_)*(?:diffusion_model_)?(?:transformer_(?!blocks_))?(.+)$/

/** Undefined for a name that is not one of LTX-2. */
function fromFlatName(flat: string): string | undefined {
  const layer = layersByLength.find((layer) => flat.endsWith(`_${flatten(layer)}`))
  if (layer === undefined) return knownLayer.test(flat) ? flat : undefined
  const parent = flat
    .slice(0, -flatten(layer).length - 1)
    .replace(/(^|_)(transformer(?:_1d)?_blocks)_(\d+)$/, (_, before, blocks, i) => `${before && '.'}${blocks}.${i}`)
  const name = `${parent}.${layer}`
  return knownLayer.test(name) ? name : undefined
}

const flatten = (layer: string) => layer.replaceAll('.', '_')

/** Longest first: `audio_attn1.to_q` also ends with `attn1.to_q`. */
const layersByLength = [...blockLayers, ...adalnLayers].sort((a, b) => b.length - a.length)
