/**
 * The files that a base model is opened from. They are recognized by their tensors and metadata, not by their names. LTX-2.3 comes as one file, LTX-2.5 as
 * one file for each component, in a folder with others that are not needed for sound (reference §10.1).
 */
import { basename } from 'node:path'
import type { Safetensors } from '../formats/safetensors.ts'
import type { Metadata, TensorInfo } from '../formats/safetensors-header.ts'
import { openWeightFiles } from '../formats/shards.ts'
import { UserError } from '../platform/errors.ts'
import { isAudioTensor, nameNormalizer } from './checkpoint-layout.ts'
import { transformerPrefix } from './config.ts'
import { isAdapterTensor } from './lora-keys.ts'
import { firstQuantized, requireFloatWeights } from './quantized-weights.ts'
import { type Release, trainedFile } from './release.ts'
import { requireReadableTextEncoder, towerPrefix } from './text/text-encoder.ts'

type Tensors = ReadonlyMap<string, TensorInfo>

/** `audio path`: any part of it. */
export type FileKind = 'audio path' | 'text encoder' | 'video VAE' | 'duration head' | 'LoRA' | 'other'

/** What a file contributes to a base, by its tensors. */
export function kindOfFile({ tensors }: { tensors: Tensors }): FileKind {
  const names = [...tensors.keys()]
  if (names.some(isAdapterTensor)) return 'LoRA'
  if (towerPrefix(tensors) !== undefined) return 'text encoder'
  if (names.some(audioTensorsOf(tensors))) return 'audio path'
  if (names.some((name) => /^duration_head\./.test(name))) return 'duration head'
  return names.some((name) => /^(vae\.)?(encoder|decoder)\./.test(name)) ? 'video VAE' : 'other'
}

export type BaseFiles = {
  /** The files with parts of the audio path, open. */
  parts: Safetensors[]
  /** The path of a packed text encoder among them. */
  textEncoder?: string
  /** What else was there, in words. */
  notNeeded: string[]
}

/**
 * Opens the files of a base.
 * @param paths files and folders, for example the folder of a download of LTX-2.5.
 * @param chosenTextEncoder if another one was chosen, those among the files are not used.
 * @throws UserError when a path cannot be read, there are several text encoders, or weights are quantized in a way that cannot be undone.
 */
export function openBaseFiles(paths: readonly string[], chosenTextEncoder?: string): BaseFiles {
  const files = openWeightFiles(paths).map((file) => ({ file, kind: kindOfFile(file) }))
  try {
    const ofKind = (wanted: FileKind) => files.flatMap(({ file, kind }) => (kind === wanted ? [file] : []))
    const [textEncoder, second] = ofKind('text encoder')
    if (textEncoder && second && chosenTextEncoder === undefined)
      throw new UserError(`${basename(textEncoder.path)} and ${basename(second.path)} are both text encoders`, {
        hint: 'name the files of the model, and one text encoder with --text-encoder',
      })
    const found = withoutQuantizedCopies(ofKind('audio path'))
    const parts = found.length > 0 ? found : files.flatMap(({ file, kind }) => (kind === 'text encoder' ? [] : [file]))
    if (parts.length === 0) throw new UserError(`${paths.join(', ')} holds only a text encoder`, { hint: needsModel })
    for (const part of parts) requireReadableWeights(basename(part.path), part)
    requireOneTransformer(parts)
    const unused = files.filter(({ file }) => !parts.includes(file))
    for (const { file } of unused) file.close()
    return {
      parts,
      ...(textEncoder && { textEncoder: textEncoder.path }),
      notNeeded: unused.flatMap(({ file, kind }) =>
        kind === 'text encoder' ? [] : [`${basename(file.path)} (${notNeededText[kind]})`],
      ),
    }
  } catch (error) {
    for (const { file } of files) file.close()
    throw error
  }
}

const notNeededText: Record<FileKind, string> = {
  'audio path': 'quantized',
  'text encoder': 'text encoder',
  'video VAE': 'VAE of another stream',
  'duration head': 'duration head',
  LoRA: 'LoRA',
  other: 'no part of LTX',
}

/** @throws UserError for two files with the same transformer, such as dev and distilled. Shards of one have different tensors. */
function requireOneTransformer(parts: readonly Safetensors[]) {
  const owners = new Map<string, Safetensors>()
  for (const part of parts)
    for (const name of [...part.tensors.keys()].map(nameNormalizer(part.tensors))) {
      if (!name.startsWith(transformerPrefix)) continue
      const other = owners.get(name)
      if (other)
        throw new UserError(`${basename(other.path)} and ${basename(part.path)} both hold a transformer`, {
          hint: 'name one of them with --model, with the other files that belong to it, separated by commas',
        })
      owners.set(name, part)
    }
}

const needsModel = 'also name the files of the transformer and of the audio VAE with --model'

/** Without the quantized files whose weights another file has, too. */
const withoutQuantizedCopies = (parts: readonly Safetensors[]) =>
  parts.filter((part) => {
    const weight = firstQuantized(part.tensors, audioTensorsOf(part.tensors))
    return (
      weight === undefined ||
      !parts.some((other) => other !== part && holds(other, nameNormalizer(part.tensors)(weight.name)))
    )
  })

const holds = ({ tensors }: Safetensors, name: string) =>
  [...tensors.keys()].map(nameNormalizer(tensors)).includes(name)

/**
 * @param file its name, for the message.
 * @throws UserError for weights of the audio path or of a text encoder that are quantized to integers.
 */
export function requireReadableWeights(file: string, { metadata, tensors }: { metadata: Metadata; tensors: Tensors }) {
  if (towerPrefix(tensors) !== undefined) return requireReadableTextEncoder(file, tensors)
  const isAudio = audioTensorsOf(tensors)
  const hasTransformer = [...tensors.keys()].some((name) => isAudio(name) && /_blocks\./.test(name))
  const release: Release = /^v?2\.3/.test(metadata.model_version ?? '') ? '2.3' : '2.5'
  const usable = hasTransformer || release === '2.3' ? trainedFile[release] : audioVaeFile
  requireFloatWeights(file, tensors, isAudio, usable)
}

/** Whether a tensor of a file, under its name there, is part of the audio path. */
function audioTensorsOf(tensors: Tensors): (name: string) => boolean {
  const newName = nameNormalizer(tensors)
  return (name) => isAudioTensor(newName(name))
}

/** Of LTX-2.5, beside the file of the transformer. */
export const audioVaeFile = 'ltx-2.5-audio-vae-bf16.safetensors'
