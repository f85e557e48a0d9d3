/** The base: one checkpoint in the LTX-2.3 layout and what reads its captions, opened but not yet in memory. */
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Safetensors } from '../formats/safetensors.ts'
import { fingerprint } from '../formats/safetensors.ts'
import { openParts } from '../formats/shards.ts'
import { UserError } from '../platform/errors.ts'
import {
  type Components,
  isAudioTensor,
  ltxComponents,
  normalizeLayout,
  requireComponents,
  requireKnownRelease,
} from './checkpoint-layout.ts'
import { type ModelConfig, readModelConfig } from './config.ts'

export type BaseModel = {
  checkpoint: Safetensors
  config: ModelConfig
  components: Components
  /** The folder of a Gemma 3 text encoder. Where every caption was encoded before, none is needed, and this may be absent. */
  textEncoder?: string
  /** A file of captions that were encoded elsewhere. */
  textEmbeddings?: string
  /** The same for every checkpoint with the same audio path, whatever its layout. */
  fingerprint: string
  /** The small base that comes with the package, for trying the tool. */
  isBundled: boolean
  /** Closes the files. Weights that were loaded stay in memory. */
  close(): void
}

export type BaseOptions = {
  /** A file, a folder, or several of them with commas between. */
  model?: string | undefined
  textEncoder?: string | undefined
  textEmbeddings?: string | undefined
}

/** `LTX_A2A_BASE` puts another folder in the place of the bundled base. */
const bundled = () => process.env.LTX_A2A_BASE ?? fileURLToPath(new URL('../../fixtures/base', import.meta.url))
const bundledCheckpoint = () => join(bundled(), 'ltx-2.3-tiny-audio.safetensors')
const bundledTextEncoder = () => join(bundled(), 'gemma3-tiny')

/**
 * Opens a base; without paths the bundled one.
 * @throws UserError when a file is missing or is no LTX-2.3 checkpoint, naming the components it lacks.
 */
export function openBase({ model, textEncoder, textEmbeddings }: BaseOptions = {}): BaseModel {
  const isBundled = model === undefined
  if (isBundled && textEncoder !== undefined)
    throw new UserError(`--text-encoder ${textEncoder} needs a model`, { hint: 'add --model <ltx-2.3 checkpoint>' })
  const checkpoint = normalizeLayout(openParts(isBundled ? [bundledCheckpoint()] : modelPaths(model)))
  try {
    requireKnownRelease(basename(checkpoint.path), checkpoint.metadata, checkpoint.tensors)
    requireComponents(checkpoint)
    const folder = textEncoder ?? (isBundled ? bundledTextEncoder() : undefined)
    return {
      checkpoint,
      config: readModelConfig(checkpoint),
      components: ltxComponents(checkpoint),
      ...(folder !== undefined && { textEncoder: folder }),
      ...(textEmbeddings !== undefined && { textEmbeddings }),
      fingerprint: fingerprint(checkpoint, isAudioTensor),
      isBundled,
      close: checkpoint.close,
    }
  } catch (error) {
    checkpoint.close()
    throw error
  }
}

/** A name with a comma in it is one place where it exists as such. */
const modelPaths = (model: string): string[] =>
  existsSync(model) ? [model] : model.split(',').map((place) => place.trim())

/** One line about the base. */
export const describeBase = ({ isBundled, checkpoint, config }: BaseModel): string =>
  isBundled
    ? 'Base: the small bundled model, for trying the tool; --model chooses a real one'
    : `Base: ${checkpoint.path}, ${config.transformer.num_layers} blocks`
