/** Which release of LTX a checkpoint is of. Only 2.3 is computed here; its neighbours look alike and are told by what they say of themselves. */
import type { Metadata } from '../checkpoint/header.ts'
import { UserError } from '../errors.ts'

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
  if (marksOf20.some((name) => names.has(name))) return '2.0'
  const [, release] = /^v?(\d+\.\d+)/.exec(version) ?? []
  if (release !== undefined) return release
  return metadata.gemma_source_checkpoint === undefined ? undefined : '2.5' // only newer files name their text encoder
}

/** Captions are projected inside its transformer, by one matrix for sound and picture before it (spec §1.6). */
const marksOf20 = [
  'model.diffusion_model.audio_caption_projection.linear_1.weight',
  'text_embedding_projection.aggregate_embed.weight',
]
