/** The base model: a checkpoint of LTX-2.3 or LTX-2.5 and its text encoder, opened without loading the weights. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fingerprint, type Safetensors } from '../formats/safetensors.ts'
import { joinSafetensors, viewTensors } from '../formats/shards.ts'
import { UserError, withParameter } from '../platform/errors.ts'
import { shownValue } from '../platform/text.ts'
import { openBaseFiles } from './base-files.ts'
import {
  type Components,
  componentTensors,
  isAudioTensor,
  ltxComponents,
  nameNormalizer,
  normalizeLayout,
  requireComponents,
} from './checkpoint-layout.ts'
import { type ModelConfig, readModelConfig, vocoderPrefix } from './config.ts'
import { requireConsistency } from './config-consistency.ts'
import { type Release, readRelease } from './release.ts'
import { openTextEncoder } from './text/text-encoder.ts'
import { requireMatchingTextEncoder } from './text/text-encoder-match.ts'

export type BaseModel = {
  /** The open file or files, in the layout of the released checkpoint of LTX-2.3. */
  checkpoint: Safetensors
  /** Files that do not say it are read as LTX-2.3. */
  release: Release
  /** The version in the metadata, for example `2.5.0`. */
  version?: string
  /** The sizes of the model, from the checkpoint's metadata. */
  config: ModelConfig
  /** The weights of each component; they are read when they are used. */
  components: Components
  /** The folder or the packed file of the text encoder. It is not needed when all captions are already encoded. */
  textEncoder?: string
  /** A file of encoded captions, made by `encode-captions`. */
  textEmbeddings?: string
  /**
   * Identifies the weights of the audio path, and for LTX-2.5 the config. It does not depend on the layout of the files. A text projection that is packed
   * with the text encoder is not included.
   */
  fingerprint: string
  /** Whether this is the small base that comes with the package. */
  isBundled: boolean
  /** Files that were named but are not needed, with their kind. */
  notNeeded: readonly string[]
  /** Closes the files. Weights that were loaded stay in memory. */
  close(): void
}

export type BaseOptions = {
  /** A file, a folder, or several of them separated by commas. Without it, the bundled base is opened. */
  model?: string | undefined
  /** The folder of a Gemma 3 download, or the packed text encoder of LTX-2.5. */
  textEncoder?: string | undefined
  /** A file of encoded captions. */
  textEmbeddings?: string | undefined
}

/**
 * Opens a base model without loading its weights. Without options it is the small base that comes with the package. Call `close` when you no longer
 * need its files.
 * @throws UserError when a file is missing or broken, is not of LTX-2.3 or LTX-2.5, lacks a component of the audio path, or the text encoder belongs to
 * another base. The existence of the text encoder is checked when it is used.
 */
export function openBase(options: BaseOptions = {}): BaseModel {
  requireBaseOptions(options)
  return withParameter('model', () => openBaseOf(options))
}

function openBaseOf(options: BaseOptions): BaseModel {
  const { model, textEmbeddings } = options
  const isBundled = model === undefined
  if (isBundled && options.textEncoder !== undefined)
    throw new UserError(`--text-encoder ${options.textEncoder} needs a model`, {
      hint: 'add --model <checkpoint of LTX-2.3 or LTX-2.5>',
      parameter: 'text_encoder',
    })
  const files = openBaseFiles(isBundled ? [bundledCheckpoint()] : modelPaths(model), options.textEncoder)
  try {
    let checkpoint = normalizeLayout(files.parts)
    const release = releaseOf(files.parts)
    requireComponents(checkpoint, release)
    const config = readModelConfig(checkpoint)
    requireConsistency(checkpoint, config)
    const identity = identityOf(checkpoint, config, release)
    const textEncoder = options.textEncoder ?? files.textEncoder ?? (isBundled ? bundledTextEncoder() : undefined)
    if (textEncoder !== undefined && existsSync(textEncoder))
      checkpoint = withTextEncoder(checkpoint, release, textEncoder)
    const { model_version: version } = checkpoint.metadata
    return {
      checkpoint,
      release,
      ...(version !== undefined && { version }),
      config,
      components: ltxComponents(checkpoint),
      ...(textEncoder !== undefined && { textEncoder }),
      ...(textEmbeddings !== undefined && { textEmbeddings }),
      fingerprint: identity,
      isBundled,
      notNeeded: files.notNeeded,
      close: checkpoint.close,
    }
  } catch (error) {
    for (const part of files.parts) part.close()
    throw error
  }
}

/** Whether a fingerprint is that of the base, or of its files without the vocoder: LoRAs and captions do not depend on the vocoder. */
export function isFingerprintOf({ checkpoint, config, release, ...base }: BaseModel, named: string): boolean {
  if (named === base.fingerprint) return true
  const { vocoder: _, ...others } = config
  return (
    named === identityOf(checkpoint, others, release, (name) => isAudioTensor(name) && !name.startsWith(vocoderPrefix))
  )
}

/** For LTX-2.5 it includes the config. For LTX-2.3 it does not, because existing LoRAs name the fingerprint of the weights alone. */
function identityOf(checkpoint: Safetensors, config: ModelConfig, release: Release, isPart = isAudioTensor): string {
  const weights = fingerprint(checkpoint, isPart)
  if (release === '2.3') return weights
  return createHash('sha256').update(weights).update(JSON.stringify(config)).digest('hex').slice(0, 16)
}

/** @throws UserError for a release that is not known, and for parts of several releases. */
function releaseOf(parts: readonly Safetensors[]): Release {
  const known = parts.flatMap(({ path, metadata, tensors }) => {
    const names = new Set([...tensors.keys()].map(nameNormalizer(tensors)))
    const release = readRelease(basename(path), metadata, names)
    return release === undefined ? [] : [{ file: basename(path), release }]
  })
  const [first] = known
  const other = known.find(({ release }) => release !== first?.release)
  if (first && other)
    throw new UserError(`${first.file} is of LTX-${first.release}, but ${other.file} of LTX-${other.release}`, {
      hint: 'name files of one release with --model',
    })
  return first?.release ?? '2.3'
}

/**
 * The checkpoint with the text projection that is packed with the text encoder.
 * @throws UserError when the text encoder cannot be read or belongs to another base, or neither of them has the projection.
 */
const withTextEncoder = (checkpoint: Safetensors, release: Release, textEncoder: string): Safetensors =>
  withParameter('text_encoder', () => joinTextEncoder(checkpoint, release, textEncoder))

function joinTextEncoder(checkpoint: Safetensors, release: Release, textEncoder: string): Safetensors {
  const { path, config, weights, close } = openTextEncoder(textEncoder)
  try {
    requireMatchingTextEncoder({ path, config }, checkpoint, release)
    if (checkpoint.tensors.has(componentTensors['text projection'])) {
      close()
      return checkpoint
    }
    if (!weights.tensors.has(componentTensors['text projection']))
      throw new UserError(`${basename(path)} has no text projection, and neither has ${basename(checkpoint.path)}`, {
        hint: 'pass the packed text encoder of LTX-2.5, which contains it',
      })
  } catch (error) {
    close()
    throw error
  }
  const isProjection = (name: string) => name.startsWith('text_embedding_projection.audio_')
  const names = [...weights.tensors.keys()].filter(isProjection)
  const projection = viewTensors(weights, new Map(names.map((name) => [name, name])))
  return { ...joinSafetensors(checkpoint.path, [checkpoint, projection]), metadata: checkpoint.metadata }
}

/** Programs without types may pass anything. */
function requireBaseOptions(options: unknown) {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new UserError(`the options of the base are ${shownValue(options)}, not an object`)
  for (const name of ['model', 'textEncoder', 'textEmbeddings']) {
    const value = (options as Record<string, unknown>)[name]
    if (value !== undefined && (typeof value !== 'string' || value.trim() === ''))
      throw new UserError(`${name} must be a path that is not empty, not ${shownValue(value)}`, {
        hint:
          name === 'model'
            ? 'write several files with commas between: "transformer.safetensors,audio-vae.safetensors"'
            : '',
      })
  }
}

/** The environment variable `LTX_A2A_BASE` replaces the folder of the bundled base. */
const bundledFolder = () => process.env.LTX_A2A_BASE ?? fileURLToPath(new URL('../../fixtures/base', import.meta.url))
const bundledCheckpoint = () => join(bundledFolder(), 'ltx-2.3-tiny-audio.safetensors')
const bundledTextEncoder = () => join(bundledFolder(), 'gemma3-tiny')

/** A path that exists is not split at its commas. */
const modelPaths = (model: string): string[] =>
  existsSync(model)
    ? [model]
    : model
        .split(',')
        .map((path) => path.trim())
        .filter((path) => path !== '')

/** One line about the base for the log. */
export function describeBase({ isBundled, release, checkpoint, config, textEncoder, notNeeded }: BaseModel): string {
  if (isBundled) return 'Base: the small bundled model, for trying the tool; --model chooses a real one'
  const parts = [
    `Base: LTX-${release}, ${checkpoint.path}, ${config.transformer.num_layers} blocks`,
    ...(textEncoder === undefined ? [] : [`text encoder: ${textEncoder}`]),
    ...(/distilled/i.test(checkpoint.path) ? ['its name says that it is distilled: train LoRAs on dev'] : []),
    ...(notNeeded.length > 0 ? [`not needed: ${notNeeded.join(', ')}`] : []),
  ]
  return parts.join('; ')
}
