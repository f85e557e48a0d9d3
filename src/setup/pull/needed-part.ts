/** Which part of a file is needed to train on sound. The kind of file is recognized by its header. */
import { extname } from 'node:path'
import type { Header } from '../../formats/safetensors-header.ts'
import { type FileKind, kindOfFile, requireReadableWeights } from '../../model/base-files.ts'
import { isAudioTensor, nameNormalizer } from '../../model/checkpoint-layout.ts'
import { type Release, readRelease } from '../../model/release.ts'
import type { GemmaConfig } from '../../model/text/gemma-config.ts'
import {
  isTextTensor,
  packedConfigName,
  readPackedConfig,
  requirePackedTokenizer,
  requireTower,
} from '../../model/text/text-encoder.ts'
import { requireTextEncoderOf25 } from '../../model/text/text-encoder-match.ts'
import { UserError } from '../../platform/errors.ts'

export type NeededPart = {
  /** Undefined when the file does not say. */
  release: Release | undefined
  /** The sizes of a packed text encoder; undefined for a part of the audio path. */
  textEncoder: GemmaConfig | undefined
  /** The names of the tensors in the released layout. */
  names: ReadonlySet<string>
  /** @param name as it is in the file. */
  isNeeded(name: string): boolean
  /** The name of the file that holds only this part: `-audio` and `-text` say that something was left out. */
  fileName: string
}

/** What the user asked for. */
export type Wanted = {
  /** `undefined`: any. */
  base?: Release | undefined
  /** Whether it is a text encoder. `undefined`: any file. */
  textEncoder?: boolean | undefined
}

/**
 * @param file its name.
 * @throws UserError for a file that is not needed, cannot be read, is of a release that is not known, or is not what is wanted.
 */
export function neededPartOf(file: string, header: Header, wanted: Wanted): NeededPart {
  const kind = kindOfFile(header)
  const other = notNeeded[kind]
  if (other !== undefined)
    throw new UserError(`${file} is ${other}, which is not needed for sound`, { hint: useOthers })
  requireReadableWeights(file, header)
  if (wanted.textEncoder !== undefined && wanted.textEncoder !== (kind === 'text encoder'))
    throw new UserError(`${file} is ${wanted.textEncoder ? 'not a' : 'a'} text encoder`, {
      hint: wanted.textEncoder ? 'name the file of the text encoder' : 'leave out --no-text-encoder',
    })
  const part = kind === 'text encoder' ? textPart(file, header) : audioPart(file, header)
  if (wanted.base !== undefined && part.release !== undefined && part.release !== wanted.base)
    throw new UserError(`${file} is of LTX-${part.release}, not LTX-${wanted.base}`, {
      hint: `leave out --base to pull it anyway, or name a file of LTX-${wanted.base}`,
    })
  return part
}

/** Whether a file is a text encoder with all that belongs to it. The folder of a Gemma download has its tokenizer beside its weights. */
export const isPackedTextEncoder = (header: Header) =>
  kindOfFile(header) === 'text encoder' && header.metadata.gemma_config !== undefined

const notNeeded: Partial<Record<FileKind, string>> = {
  'video VAE': 'a video VAE',
  'duration head': 'a duration head',
  LoRA: 'a LoRA',
}

const useOthers =
  'pull the transformer, the audio VAE and the text encoder: ltx-a2a pull --base 2.5 pulls those of LTX-2.5'

function textPart(file: string, header: Header): NeededPart {
  if (!isPackedTextEncoder(header))
    throw new UserError(`${file} is a text encoder without its config and tokenizer`, {
      hint: 'pull the folder that it is in: ltx-a2a pull --text-encoder <folder or repository>',
    })
  const config = readPackedConfig(file, header.metadata)
  requireTextEncoderOf25({ path: file, config })
  requirePackedTokenizer(file, header)
  requireTower(file, header.tensors, { config, configName: packedConfigName(file) })
  const names = new Set([...header.tensors.keys()].filter(isTextTensor))
  return {
    release: '2.5',
    textEncoder: config,
    names,
    isNeeded: isTextTensor,
    fileName: textFileName(file),
  }
}

function audioPart(file: string, header: Header): NeededPart {
  const unifiedName = nameNormalizer(header.tensors)
  const names = new Set([...header.tensors.keys()].map(unifiedName))
  const release = readRelease(file, header.metadata, names)
  const needed = new Set([...names].filter(isAudioTensor))
  if (needed.size === 0)
    throw new UserError(`${file} has no tensor of the audio path of LTX`, {
      hint: 'use a checkpoint of LTX-2.3 or LTX-2.5',
    })
  const isWhole = release === '2.5' && needed.size === header.tensors.size
  return {
    release,
    textEncoder: undefined,
    names: needed,
    isNeeded: (name) => isAudioTensor(unifiedName(name)),
    fileName: fileNameWith(isWhole ? '' : '-audio', file),
  }
}

/** The name of what is pulled of a packed text encoder. */
export const textFileName = (file: string) => fileNameWith('-text', file)

const fileNameWith = (suffix: string, file: string) =>
  `${file.slice(0, file.length - extname(file).length)}${suffix}.safetensors`
