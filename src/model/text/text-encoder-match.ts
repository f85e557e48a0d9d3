/** Which text encoder belongs to which base (reference §10.2). The shapes alone do not show it: Google's own Gemma 4 has those of the fine-tuned one. */
import { basename } from 'node:path'
import type { Safetensors } from '../../formats/safetensors.ts'
import type { Metadata } from '../../formats/safetensors-header.ts'
import { UserError } from '../../platform/errors.ts'
import type { Release } from '../release.ts'
import { packedFileText, type TextEncoder } from './text-encoder.ts'

/** @throws UserError for a text encoder that this base was not trained with. */
export function requireMatchingTextEncoder(
  { path, config: { generation, version } }: Pick<TextEncoder, 'path' | 'config'>,
  checkpoint: Pick<Safetensors, 'path' | 'metadata'>,
  release: Release,
) {
  const [encoder, base] = [basename(path), basename(checkpoint.path)]
  const refuse = (why: string) => new UserError(why, { hint: hints[release] })
  if (release === '2.3') {
    if (generation === 3) return
    throw refuse(`${encoder} is a Gemma 4, which belongs to LTX-2.5, but ${base} is LTX-2.3`)
  }
  if (generation === 3) throw refuse(`${encoder} is a Gemma 3, which belongs to LTX-2.3, but ${base} is LTX-2.5`)
  const needed = neededVersion(checkpoint.metadata)
  if (needed === undefined)
    throw new UserError(`${base} does not name the text encoder that it was trained with (gemma_source_checkpoint)`, {
      hint: 'its metadata were lost: use another copy of the transformer',
    })
  if (version === undefined)
    throw refuse(`${encoder} is Google's own Gemma 4, without a gemma_version; ${base} needs the fine-tuned ${needed}`)
  if (version !== needed) throw refuse(`${encoder} is ${version}, but ${base} needs ${needed}`)
}

/** @throws UserError for a text encoder that belongs to no base of LTX-2.5. */
export function requireTextEncoderOf25({
  path,
  config: { generation, version },
}: Pick<TextEncoder, 'path' | 'config'>) {
  const refuse = (why: string) => new UserError(`${basename(path)} is ${why}`, { hint: hints['2.5'] })
  if (generation === 3) throw refuse('a Gemma 3, which belongs to LTX-2.3')
  if (version === undefined)
    throw refuse("Google's own Gemma 4, without a gemma_version; LTX-2.5 needs its fine-tuned one")
}

const hints: Record<Release, string> = {
  '2.3': 'pass the folder of Gemma 3 12B, which ltx-a2a pull --text-encoder downloads',
  '2.5': `pass ${packedFileText}`,
}

/** In the metadata of a transformer of LTX-2.5: `{"ltx_version":"2.5.0","gemma_version":"gemma4-12b-ltx-v1"}`. */
function neededVersion({ gemma_source_checkpoint: source = '' }: Metadata): string | undefined {
  try {
    const { gemma_version: version } = (JSON.parse(source) ?? {}) as { gemma_version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}
