/**
 * The contexts of captions and prompts. They come from the file of encoded captions if there is one, otherwise from the cache, and the text encoder is
 * loaded only for the remaining texts. This file also reads and writes the files of encoded captions.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import type { Limits } from '../config/limits.ts'
import type { EncodeSettings } from '../config/settings.ts'
import { composeCaption, decodeCaption } from '../dataset/caption.ts'
import { findPairs } from '../dataset/pairs.ts'
import { openSource, type SourceOptions } from '../dataset/source.ts'
import { leaseBackend } from '../engine/backend.ts'
import type { HostMatrix } from '../engine/device-tensors.ts'
import { float32Bytes } from '../formats/dtypes.ts'
import { encodeSafetensors, openSafetensors, type StoredTensor } from '../formats/safetensors.ts'
import { type BaseModel, describeBase, openBase } from '../model/base-model.ts'
import type { Release } from '../model/release.ts'
import { openTextEncoder } from '../model/text/text-encoder.ts'
import { encodeCaptions } from '../model/text/text-model.ts'
import { UserError, withParameter } from '../platform/errors.ts'
import type { OutputFile } from '../platform/output-file.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../platform/progress.ts'
import { type Cache, type CacheKey, cacheKey, openCache } from './cache.ts'

/**
 * The context `[S, D]` of every text, by the text. Each distinct text is encoded once.
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
  const textEncoder = textEncoderPath(base, missing)
  const { audio_connector_num_attention_heads: heads, audio_connector_attention_head_dim: headDim } =
    base.config.transformer
  const encoded = await withParameter('text_encoder', () =>
    encodeCaptions({ ...base, textEncoder }, missing, onProgress && { onProgress }),
  )
  missing.forEach((text, i) => {
    const values = encoded[i] as Float32Array
    const context: HostMatrix = { shape: [values.length / (heads * headDim), heads * headDim], values }
    cache.put(keyOf(text) as CacheKey, context)
    contexts.set(text, context)
  })
  return contexts
}

/** The contexts of texts, each distinct text encoded once, as a stage of the work. */
export async function encodeTextsWithProgress(
  base: BaseModel,
  all: readonly string[],
  cache: Cache,
  reporter: Reporter,
): Promise<ReadonlyMap<string, HostMatrix>> {
  const texts = new Set(all)
  const stage = reporter.stage('Encoding captions', texts.size, 'captions')
  const contexts = await encodeTexts(base, texts, cache, (done, total) => {
    stage.update((done / total) * texts.size)
    reporter.throwIfAborted()
  })
  stage.finish(`${texts.size} distinct captions and prompts`)
  return contexts
}

/**
 * Checks that all texts can be encoded.
 * @returns the number of texts that need the text encoder.
 * @throws UserError when there are such texts and no text encoder.
 */
export function requireTextEncoderFor(base: BaseModel, texts: Iterable<string>, cache: Cache): number {
  const { missing } = findContexts(base, texts, cache)
  if (missing.length > 0) textEncoderPath(base, missing)
  return missing.length
}

function findContexts(base: BaseModel, texts: Iterable<string>, cache: Cache) {
  const keyOf = contextKeyFor(base, cache)
  const { textEmbeddings, fingerprint } = base
  const embeddings =
    textEmbeddings === undefined
      ? undefined
      : withParameter('text_embeddings', () => openTextEmbeddings(textEmbeddings, fingerprint))
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

/**
 * The cache key of a context includes the fingerprint of the text encoder, and with it that of a packed text projection. Without the files of the text
 * encoder, it is the one that was last used with this base.
 */
function contextKeyFor(base: BaseModel, cache: Cache): (text: string) => CacheKey | undefined {
  const last = cache.getText(encoderCacheKey(base))
  const textEncoder = pathExists(base.textEncoder) ? fingerprintOf(base.textEncoder) : last
  if (textEncoder !== undefined && textEncoder !== last) cache.putText(encoderCacheKey(base), textEncoder)
  return (text) => (textEncoder === undefined ? undefined : cacheKey('context', base.fingerprint, textEncoder, text))
}

const encoderCacheKey = ({ fingerprint }: BaseModel) => cacheKey('text encoder', fingerprint)

const pathExists = (path: string | undefined): path is string => path !== undefined && existsSync(path)

function fingerprintOf(textEncoder: string): string {
  const encoder = withParameter('text_encoder', () => openTextEncoder(textEncoder))
  try {
    return encoder.fingerprint()
  } finally {
    encoder.close()
  }
}

function textEncoderPath(
  { textEncoder, textEmbeddings, checkpoint, release }: BaseModel,
  missing: readonly string[],
): string {
  if (pathExists(textEncoder)) return textEncoder
  if (textEncoder !== undefined)
    throw new UserError(`the text encoder ${textEncoder} does not exist`, {
      hint: 'check --text-encoder',
      code: 'file_download_error',
      parameter: 'text_encoder',
    })
  const [first = ''] = missing
  const others = missing.length > 1 ? ` and ${missing.length - 1} more` : ''
  const where = textEmbeddings === undefined ? '' : ` in ${textEmbeddings}`
  throw new UserError(
    `${checkpoint.path} needs a text encoder: ${JSON.stringify(first)}${others} is not encoded yet${where}`,
    {
      hint: `add ${textEncoderOption[release]}, or --text-embeddings <file> made by encode-captions`,
      parameter: textEmbeddings === undefined ? 'text_encoder' : 'text_embeddings',
    },
  )
}

const textEncoderOption: Record<Release, string> = {
  '2.3': '--text-encoder <folder of Gemma 3 12B>, which ltx-a2a pull --text-encoder downloads',
  '2.5': '--text-encoder <packed file of Gemma 4 12B>, which ltx-a2a pull --base 2.5 downloads',
}

/**
 * Contexts as a file, for training on a machine without the text encoder. The name of a tensor contains the hash of its text; the metadata
 * contains the fingerprint of the base. Values are float32, so a run gives the same bytes with the file as with the text encoder.
 * @param base the fingerprint of the base.
 */
function encodeTextEmbeddings(base: string, contexts: ReadonlyMap<string, HostMatrix>) {
  const tensors = new Map<string, StoredTensor>()
  for (const [text, { shape, values }] of contexts)
    tensors.set(tensorName(text), { dtype: 'F32', shape, bytes: float32Bytes(values) })
  return encodeSafetensors(tensors, { kind: textEmbeddingsKind, base_model: base })
}

export type TextEmbeddings = {
  path: string
  has(text: string): boolean
  /** The context `[S, D]`, or undefined when the text is not in the file. */
  get(text: string): HostMatrix | undefined
  close(): void
}

/**
 * Opens a file of encoded captions.
 * @param base the fingerprint of the base.
 * @throws UserError when the file is missing, is not such a file, or was made for another base.
 */
export function openTextEmbeddings(path: string, base: string): TextEmbeddings {
  const file = openSafetensors(path)
  const refuse = (why: string, hint: string) => {
    file.close()
    return new UserError(`${basename(path)} ${why}`, { hint })
  }
  if (file.metadata.kind !== textEmbeddingsKind)
    throw refuse('does not contain encoded captions', 'make one with ltx-a2a encode-captions')
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

/** In the metadata of every file of encoded captions. */
export const textEmbeddingsKind = 'ltx-a2a text embeddings'

const tensorName = (text: string) => `context.${createHash('sha256').update(text).digest('hex').slice(0, 40)}`

/**
 * Writes the contexts of all captions and prompts to a file.
 * @throws UserError when the data, the model or its text encoder cannot be read.
 */
export async function encodeCaptionsToFile(
  settings: EncodeSettings,
  file: OutputFile,
  { limits, ...options }: RunOptions<ProgressEvent> & { limits?: Limits | undefined } = {},
): Promise<void> {
  const reporter = createReporter<ProgressEvent>(options)
  const texts = [...(await captionsOf(settings, { limits, signal: options.signal })), ...settings.prompts]
  const base = openBase(settings)
  try {
    const cache = openCache(undefined, reporter.warn)
    requireTextEncoderFor(base, texts, cache)
    reporter.info(describeBase(base))
    const backend = await leaseBackend(settings.backend, reporter)
    try {
      const contexts = await encodeTextsWithProgress(base, texts, cache, reporter)
      await file.write(encodeTextEmbeddings(base.fingerprint, contexts), options.signal)
      await reporter.settled()
    } finally {
      backend.release()
    }
  } finally {
    base.close()
  }
}

/**
 * The captions of all pairs, held-out ones included. The audio is not decoded, so pairs that are too short for training are included.
 * @throws UserError for the first caption that cannot be read.
 */
async function captionsOf(
  { trainingDataUrl, holdoutData, triggerPhrase }: EncodeSettings,
  options: SourceOptions,
): Promise<string[]> {
  const captions: string[] = []
  for (const location of [trainingDataUrl, ...(holdoutData === undefined ? [] : [holdoutData])]) {
    const source = await openSource(location, options)
    try {
      for (const { caption } of findPairs(source.paths).pairs) {
        const text = caption === undefined ? '' : decodeCaption(await source.readText(caption), caption)
        captions.push(composeCaption(triggerPhrase, text))
      }
    } finally {
      await source.close()
    }
  }
  return captions
}
