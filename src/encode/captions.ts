/**
 * From captions and prompts to the contexts that the transformer attends to; each distinct text once. A context comes from the file of encoded
 * captions where there is one, else from the cache, and only for what neither has is the text encoder read.
 */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import type { HostMatrix } from '../engine/device-tensors.ts'
import { float32Bytes } from '../formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../formats/safetensors.ts'
import type { BaseModel } from '../model/base-model.ts'
import { textEncoderFingerprint } from '../model/text/gemma-folder.ts'
import { encodeCaptions } from '../model/text/text-model.ts'
import { UserError } from '../platform/errors.ts'
import { type Cache, type CacheKey, cacheKey } from './cache.ts'

/**
 * The context `[S, D]` of every text, by the text.
 * @throws UserError when the text encoder is needed and there is none.
 */
export async function encodeTexts(
  base: BaseModel,
  texts: Iterable<string>,
  cache: Cache,
  onProgress?: (done: number, total: number) => void,
): Promise<Map<string, HostMatrix>> {
  const { contexts, missing, keyOf } = findContexts(base, texts, cache)
  if (missing.length === 0) return contexts
  const textEncoder = textEncoderFolder(base, missing)
  const { audio_connector_num_attention_heads: heads, audio_connector_attention_head_dim: headDim } =
    base.config.transformer
  const encoded = await encodeCaptions({ ...base, textEncoder }, missing, onProgress && { onProgress })
  cache.putText(encoderCacheKey(base), textEncoderFingerprint(textEncoder))
  missing.forEach((text, i) => {
    const values = encoded[i] as Float32Array
    const context: HostMatrix = { shape: [values.length / (heads * headDim), heads * headDim], values }
    cache.put(keyOf(text) as CacheKey, context)
    contexts.set(text, context)
  })
  return contexts
}

/**
 * Finds out before anything is written.
 * @returns how many of the texts the text encoder will be read for.
 * @throws UserError when there are some and it is not there.
 */
export function requireTextEncoderFor(base: BaseModel, texts: Iterable<string>, cache: Cache): number {
  const { missing } = findContexts(base, texts, cache)
  if (missing.length > 0) textEncoderFolder(base, missing)
  return missing.length
}

function findContexts(base: BaseModel, texts: Iterable<string>, cache: Cache) {
  const keyOf = contextKeyFor(base, cache)
  const embeddings =
    base.textEmbeddings === undefined ? undefined : openTextEmbeddings(base.textEmbeddings, base.fingerprint)
  const contexts = new Map<string, HostMatrix>()
  const missing: string[] = []
  try {
    for (const text of new Set(texts)) {
      const key = keyOf(text)
      const found = embeddings?.get(text) ?? (key && cache.get(key))
      if (found) contexts.set(text, found)
      else missing.push(text)
    }
  } finally {
    embeddings?.close()
  }
  return { contexts, missing, keyOf }
}

/** A context's key holds the text encoder's fingerprint; without its folder, that of the one which last encoded for this base. */
function contextKeyFor(base: BaseModel, cache: Cache): (text: string) => CacheKey | undefined {
  const textEncoder = folderExists(base.textEncoder)
    ? textEncoderFingerprint(base.textEncoder)
    : cache.getText(encoderCacheKey(base))
  return (text) => (textEncoder === undefined ? undefined : cacheKey('context', base.fingerprint, textEncoder, text))
}

const encoderCacheKey = ({ fingerprint }: BaseModel) => cacheKey('text encoder', fingerprint)

const folderExists = (folder: string | undefined): folder is string => folder !== undefined && existsSync(folder)

function textEncoderFolder({ textEncoder, textEmbeddings, checkpoint }: BaseModel, missing: readonly string[]): string {
  if (folderExists(textEncoder)) return textEncoder
  if (textEncoder !== undefined)
    throw new UserError(`the text encoder folder ${textEncoder} does not exist`, { hint: 'check --text-encoder' })
  const [first = ''] = missing
  const others = missing.length > 1 ? ` and ${missing.length - 1} more` : ''
  const place = textEmbeddings === undefined ? '' : ` in ${textEmbeddings}`
  throw new UserError(
    `${checkpoint.path} needs a text encoder: ${JSON.stringify(first)}${others} is not encoded yet${place}`,
    {
      hint: 'add --text-encoder <folder of Gemma 3 12B>, which ltx-a2a pull --text-encoder fetches, or --text-embeddings <file> from encode-captions',
    },
  )
}

/**
 * Contexts of captions as a file, so that a machine without the 24 GB of the text encoder can train: made by `encode-captions` on one that has
 * them. A tensor is named after the hash of its text; the metadata says which base the contexts are for.
 */

/** Float32, so that a run is the same to the byte whether its contexts come from a file or from the text encoder itself. */
export function writeTextEmbeddings(path: string, base: string, contexts: ReadonlyMap<string, HostMatrix>) {
  const tensors = new Map<string, StoredTensor>()
  for (const [text, { shape, values }] of contexts)
    tensors.set(tensorName(text), { dtype: 'F32', shape, bytes: float32Bytes(values) })
  writeSafetensors(path, tensors, { kind, base_model: base })
}

export type TextEmbeddings = {
  path: string
  has(text: string): boolean
  /** `[S, D]`; undefined for a text that is not in the file. */
  get(text: string): HostMatrix | undefined
  close(): void
}

/**
 * @param base the fingerprint of the base they must be for.
 * @throws UserError when the file is missing, is something else, or is for another base.
 */
export function openTextEmbeddings(path: string, base: string): TextEmbeddings {
  const file = openSafetensors(path)
  const refuse = (why: string, hint: string) => {
    file.close()
    return new UserError(`${basename(path)} ${why}`, { hint })
  }
  if (file.metadata.kind !== kind)
    throw refuse('does not hold encoded captions', 'make one with ltx-a2a encode-captions')
  if (file.metadata.base_model !== base)
    throw refuse(
      `was encoded for another base model (${file.metadata.base_model}, this one is ${base})`,
      'encode the captions again with this --model',
    )
  return {
    path,
    has: (text) => file.tensors.has(tensorName(text)),
    get: (text) => {
      const name = tensorName(text)
      const [rows, columns] = file.tensors.get(name)?.shape ?? []
      return rows === undefined || columns === undefined
        ? undefined
        : { shape: [rows, columns], values: file.float32(name) }
    },
    close: file.close,
  }
}

const kind = 'ltx-a2a text embeddings'

const tensorName = (text: string) => `context.${createHash('sha256').update(text).digest('hex').slice(0, 40)}`
