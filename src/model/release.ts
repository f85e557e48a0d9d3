/** The releases of LTX that can be trained on, and how a file shows which one it belongs to (reference §1.2, §1.6, §10.1). */
import type { Metadata } from '../formats/safetensors-header.ts'
import { UserError } from '../platform/errors.ts'
import { transformerPrefix } from './config.ts'

export type Release = '2.3' | '2.5'

/** The file of a release that LoRAs are trained on. */
export const trainedFile: Record<Release, string> = {
  '2.3': 'ltx-2.3-22b-dev.safetensors',
  '2.5': 'ltx-2.5-22b-dev-transformer-bf16.safetensors',
}

/** The names of a file's tensors. */
export type Names = { has(name: string): boolean }

/**
 * The release of a file; undefined when it does not say.
 * @param file its name, for the message.
 * @param names the names of its tensors, in the released layout.
 * @throws UserError for LTX-2.0 (19B) and for releases that are not known.
 */
export function readRelease(file: string, metadata: Metadata, names: Names): Release | undefined {
  const release = releaseOf(metadata, names)
  if (release === undefined || release === '2.3' || release === '2.5') return release
  const what =
    release === '2.0'
      ? 'an LTX-2.0 checkpoint (19B), which has another text path and another vocoder'
      : `an LTX-${release} checkpoint, which this version of ltx-a2a does not support`
  throw new UserError(`${file} is ${what}`, {
    hint: `use ${trainedFile['2.3']} or ${trainedFile['2.5']}; a LoRA works only with the release it was trained on`,
  })
}

function releaseOf({ model_version: version = '', ...metadata }: Metadata, names: Names): string | undefined {
  if (tensorsOf20.some((name) => names.has(name))) return '2.0'
  const [, release] = /^v?(\d+(?:\.\d+)?)/.exec(version) ?? []
  if (release !== undefined) return release
  return metadata.gemma_source_checkpoint !== undefined || hasVideoOf25(names) ? '2.5' : undefined
}

/** LTX-2.0 projects captions inside its transformer, and has one text projection for audio and video (reference §1.6). */
const tensorsOf20 = [
  'model.diffusion_model.audio_caption_projection.linear_1.weight',
  'text_embedding_projection.aggregate_embed.weight',
]

/** The video stream of LTX-2.5 has an embedding for key frames, and feed-forward layers without biases. */
function hasVideoOf25(names: Names) {
  if (names.has(`${transformerPrefix}keyframes_abs_pos_embedding`)) return true
  const layer = `${transformerPrefix}transformer_blocks.0.ff.net.0.proj`
  return names.has(`${layer}.weight`) && !names.has(`${layer}.bias`)
}
