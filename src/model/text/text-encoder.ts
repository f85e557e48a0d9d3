/**
 * The files of a text encoder: the folder of a Gemma download, or the packed file of LTX-2.5, which also holds the tokenizer and the text projection
 * (reference §5.1, §10.2).
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fingerprint, openSafetensors, type Safetensors } from '../../formats/safetensors.ts'
import type { Metadata } from '../../formats/safetensors-header.ts'
import { openShards } from '../../formats/shards.ts'
import { UserError } from '../../platform/errors.ts'
import { parseJson } from '../../platform/json.ts'
import { requireFloatWeights } from '../quantized-weights.ts'
import { countMembers } from '../weights.ts'
import { type GemmaConfig, parseGemmaConfig } from './gemma-config.ts'

export type TextEncoder = {
  path: string
  config: GemmaConfig
  /** No tensors are loaded. */
  weights: Safetensors
  /** What the names of the text tower's tensors start with. */
  prefix: string
  /** The contents of tokenizer.json and tokenizer_config.json. */
  tokenizer(): { definition: object; settings: object }
  /** Identifies it: the weights of its text tower and the tokenizer; of a packed file also the text projection and the config. */
  fingerprint(): string
  close(): void
}

/** @throws UserError when the path is neither such a folder nor such a file, or one of its parts is missing. */
export function openTextEncoder(path: string): TextEncoder {
  const packed = packedFileAt(path)
  if (packed === undefined && !isFolder(path))
    throw new UserError(`the text encoder ${path} is neither a folder nor a safetensors file`, { hint: folderHint })
  const files = packed === undefined ? openFolder(path) : openPacked(packed)
  try {
    const config = parseGemmaConfig(files.config(), files.configName)
    const prefix = requireTower(path, files.weights.tensors, { config, configName: files.configName })
    files.requireTokenizer()
    return {
      path,
      config,
      weights: files.weights,
      prefix,
      tokenizer: () => ({
        definition: files.json('tokenizer.json') as object,
        settings: files.json('tokenizer_config.json') as object,
      }),
      fingerprint: () => {
        const hash = createHash('sha256').update(files.bytes('tokenizer.json'))
        if (packed !== undefined) hash.update(files.bytes('tokenizer_config.json')).update(JSON.stringify(config))
        const tokenizerHash = hash.digest('hex')
        return `${fingerprint(files.weights, isTextTensor)}-${tokenizerHash.slice(0, 8)}`
      },
      close: files.weights.close,
    }
  } catch (error) {
    files.weights.close()
    throw error
  }
}

const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/** The path itself if it is a file, or the only file in a folder that holds no Gemma download; undefined where there is none. */
function packedFileAt(path: string): string | undefined {
  if (!isFolder(path)) return existsSync(path) || /\.safetensors$/i.test(path) ? path : undefined
  const names = readdirSync(path)
  const [file, other] = names.filter((name) => name.endsWith('.safetensors'))
  const isDownload = names.some((name) => name.endsWith('.json'))
  return file !== undefined && other === undefined && !isDownload ? join(path, file) : undefined
}

/**
 * Checks the names and shapes of a text tower against its config, and that its weights can be read.
 * @returns what the names of its tensors start with.
 * @throws UserError for the first that is missing or contradicts the config.
 */
export function requireTower(
  path: string,
  tensors: Safetensors['tensors'],
  { config, configName }: { config: GemmaConfig; configName: string },
): string {
  const file = basename(path)
  const hint = 'download the text encoder again, or pass another one'
  const prefix = towerPrefix(tensors)
  if (prefix === undefined)
    throw new UserError(`the text encoder ${path} has no weights of a text tower`, { hint: folderHint })
  const embeddings = tensors.get(`${prefix}embed_tokens.weight`)?.shape ?? []
  if (embeddings.length !== 2 || embeddings[1] !== config.hiddenSize)
    throw new UserError(
      `embed_tokens.weight of the text encoder ${file} has the shape [${embeddings}], but ${configName} says hidden_size = ${config.hiddenSize}`,
      { hint },
    )
  const [stored, listed] = [countMembers(tensors.keys(), `${prefix}layers.`), config.layers.length]
  if (stored !== listed)
    throw new UserError(`the text encoder ${file} has ${stored} layers, but ${configName} lists ${listed}`, { hint })
  for (const [layer, kind] of config.layers.entries()) {
    const has = (name: string) => tensors.has(`${prefix}layers.${layer}.${name}`)
    if (config.scalesLayers && !has('layer_scalar'))
      throw new UserError(`the text encoder ${file} has no layers.${layer}.layer_scalar`, {
        hint: `programs that save only trained parameters leave these out; ${packedHint}`,
      })
    if (config.attention[kind].sharesKeyAndValue && has('self_attn.v_proj.weight'))
      throw new UserError(
        `the text encoder ${file} has layers.${layer}.self_attn.v_proj.weight, but ${configName} says that keys are the values`,
        { hint },
      )
  }
  requireReadableTextEncoder(file, tensors)
  return prefix
}

/** The prefix of the tower's tensors differs between exports. */
const prefixes = ['language_model.model.', 'model.language_model.', 'model.']

/** What the names of a text tower start with; undefined where there is none. */
export const towerPrefix = (tensors: { has(name: string): boolean }): string | undefined =>
  prefixes.find((start) => tensors.has(`${start}embed_tokens.weight`))

/**
 * Whether a tensor is needed for captions: it belongs to the text tower, or is the text projection of audio or the tokenizer of a packed file. The output
 * head is not needed.
 */
export const isTextTensor = (name: string) => !unusedTensor.test(name)

const unusedTensor =
  /vision|multi_modal_projector|audio_projector|embed_audio|video_aggregate_embed|^(language_model\.)?lm_head\./

/** @throws UserError for weights that are quantized to integers. */
export function requireReadableTextEncoder(file: string, tensors: Safetensors['tensors']) {
  requireFloatWeights(file, tensors, isTextTensor, `${packedTextEncoder} for LTX-2.5 or Gemma 3 12B for LTX-2.3`)
}

/** The text encoder of LTX-2.5. */
export const packedTextEncoder = 'gemma4-12b-with-proj-ltx-2.5-bf16.safetensors'

/** That file in a hint. */
export const packedFileText = `the packed file of LTX-2.5, ${packedTextEncoder}, which ltx-a2a pull --base 2.5 downloads`

/** Where a text encoder's parts are. */
type TextEncoderFiles = {
  /** What the config is called in messages. */
  configName: string
  config(): unknown
  weights: Safetensors
  bytes(file: string): Uint8Array
  json(file: string): unknown
  /** @throws UserError when a file of the tokenizer is missing. */
  requireTokenizer(): void
}

const tokenizerFiles = ['tokenizer.json', 'tokenizer_config.json']

const folderHint =
  'pass the folder of a Gemma 3 download, with config.json, tokenizer.json, tokenizer_config.json and model*.safetensors, or the packed file of LTX-2.5'

function openFolder(folder: string): TextEncoderFiles {
  const bytes = (file: string) => {
    try {
      return readFileSync(join(folder, file))
    } catch (cause) {
      throw unreadable(folder, file, cause)
    }
  }
  const json = (file: string) => parseFile(bytes(file), { folder, file })
  json('config.json') // is missing in other folders: a clearer reason than missing weights
  return {
    configName: `config.json in ${folder}`,
    config: () => json('config.json'),
    weights: openShards(folder),
    bytes,
    json,
    requireTokenizer: () => {
      const missing = tokenizerFiles.find((file) => !existsSync(join(folder, file)))
      if (missing !== undefined) throw unreadable(folder, missing)
    },
  }
}

/** Small files may be tensors of bytes, or strings in the metadata. */
function openPacked(path: string): TextEncoderFiles {
  const weights = openSafetensors(path)
  const bytes = (file: string) => {
    const name = packedName(file)
    return weights.tensors.has(name) ? weights.read(name).bytes : Buffer.from(weights.metadata[name] ?? '')
  }
  return {
    configName: packedConfigName(path),
    config: () => packedConfig(path, weights.metadata),
    weights,
    bytes,
    json: (file) => parseFile(bytes(file), { folder: path, file }),
    requireTokenizer: () => requirePackedTokenizer(path, weights),
  }
}

const packedName = (file: string) => (file === 'tokenizer.json' ? 'tokenizer_json' : `hf_asset__${file}`)

/** @throws UserError when a file of the tokenizer is missing in a packed text encoder. */
export function requirePackedTokenizer(path: string, { tensors, metadata }: Pick<Safetensors, 'tensors' | 'metadata'>) {
  const missing = tokenizerFiles.find(
    (file) => !tensors.has(packedName(file)) && metadata[packedName(file)] === undefined,
  )
  if (missing !== undefined)
    throw new UserError(`the text encoder ${basename(path)} contains no ${missing} (${packedName(missing)})`, {
      hint: packedHint,
    })
}

/**
 * The sizes of a packed text encoder, from its metadata alone.
 * @throws UserError when they are missing, or those of another model.
 */
export const readPackedConfig = (path: string, metadata: Metadata): GemmaConfig =>
  parseGemmaConfig(packedConfig(path, metadata), packedConfigName(path))

export const packedConfigName = (path: string) => `gemma_config in ${basename(path)}`

function packedConfig(path: string, { gemma_config: text }: Metadata): unknown {
  if (text === undefined)
    throw new UserError(`the text encoder ${basename(path)} has no gemma_config in its metadata`, { hint: packedHint })
  return parseFile(Buffer.from(text), { folder: path, file: 'gemma_config' })
}

const packedHint = `use ${packedFileText}`

function parseFile(bytes: Uint8Array, { folder, file }: { folder: string; file: string }): unknown {
  const json = parseJson(new TextDecoder().decode(bytes), {
    invalid: (cause) => unreadable(folder, file, cause),
    repeated: (key) => new UserError(`${file} of the text encoder ${folder} has ${key} twice`, { hint: folderHint }),
  })
  if (typeof json === 'object' && json !== null) return json
  throw unreadable(folder, file)
}

const unreadable = (folder: string, file: string, cause?: unknown) =>
  new UserError(`the text encoder ${folder} has no readable ${file}`, { hint: folderHint, cause })
