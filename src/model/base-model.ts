/** The base model: a checkpoint of LTX-2.3 and its text encoder, opened without loading the weights. */
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fingerprint, type Safetensors } from '../formats/safetensors.ts'
import { openWeightFiles } from '../formats/shards.ts'
import { UserError } from '../platform/errors.ts'
import { shownValue } from '../platform/text.ts'
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
  /** The open file or files, in the layout of the released checkpoint. */
  checkpoint: Safetensors
  /** The sizes of the model, from the checkpoint's metadata. */
  config: ModelConfig
  /** The weights of each component; they are read when they are used. */
  components: Components
  /** The folder of the Gemma 3 text encoder. It is not needed when all captions are already encoded. */
  textEncoder?: string
  /** A file of encoded captions, made by `encode-captions`. */
  textEmbeddings?: string
  /** Identifies the weights of the audio path. It does not depend on the layout of the files. */
  fingerprint: string
  /** Whether this is the small base that comes with the package. */
  isBundled: boolean
  /** Closes the files. Weights that were loaded stay in memory. */
  close(): void
}

export type BaseOptions = {
  /** A file, a folder, or several of them separated by commas. Without it, the bundled base is opened. */
  model?: string | undefined
  /** The folder of a Gemma 3 download. */
  textEncoder?: string | undefined
  /** A file of encoded captions. */
  textEmbeddings?: string | undefined
}

/**
 * Opens a base model without loading its weights. Without options it is the small base that comes with the package. Call `close` when you no longer
 * need its files.
 * @throws UserError when a file is missing, is broken, is not an LTX-2.3 checkpoint, or lacks a component of the audio path. The existence of the text
 * encoder is checked when it is used.
 */
export function openBase(options: BaseOptions = {}): BaseModel {
  requireBaseOptions(options)
  const { model, textEncoder, textEmbeddings } = options
  const isBundled = model === undefined
  if (isBundled && textEncoder !== undefined)
    throw new UserError(`--text-encoder ${textEncoder} needs a model`, { hint: 'add --model <ltx-2.3 checkpoint>' })
  const checkpoint = normalizeLayout(openWeightFiles(isBundled ? [bundledCheckpoint()] : modelPaths(model)))
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

/** Programs without types may pass anything. */
function requireBaseOptions(options: unknown) {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new UserError(`the options of the base are ${shownValue(options)}, not an object`)
  for (const name of ['model', 'textEncoder', 'textEmbeddings']) {
    const value = (options as Record<string, unknown>)[name]
    if (value !== undefined && (typeof value !== 'string' || value.trim() === ''))
      throw new UserError(`${name} must be a path that is not empty, not ${shownValue(value)}`)
  }
}

/** The environment variable `LTX_A2A_BASE` replaces the folder of the bundled base. */
const bundledFolder = () => process.env.LTX_A2A_BASE ?? fileURLToPath(new URL('../../fixtures/base', import.meta.url))
const bundledCheckpoint = () => join(bundledFolder(), 'ltx-2.3-tiny-audio.safetensors')
const bundledTextEncoder = () => join(bundledFolder(), 'gemma3-tiny')

/** A path that exists is not split at its commas. */
const modelPaths = (model: string): string[] =>
  existsSync(model) ? [model] : model.split(',').map((path) => path.trim())

/** One line about the base for the log. */
export const describeBase = ({ isBundled, checkpoint, config }: BaseModel): string =>
  isBundled
    ? 'Base: the small bundled model, for trying the tool; --model chooses a real one'
    : `Base: ${checkpoint.path}, ${config.transformer.num_layers} blocks`
