/** The scale of a LoRA's layers, alpha / rank, from wherever its trainer stored alpha. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { elementCount } from '../formats/dtypes.ts'
import type { Safetensors } from '../formats/safetensors.ts'
import type { Metadata } from '../formats/safetensors-header.ts'
import { type InvalidLora, type LayerTensors, plainLoraHint } from './lora-keys.ts'
import { releasedLayerName } from './lora-layers.ts'

/** The scale of a layer with these tensors and this rank. @throws UserError for an alpha that is not a number. */
export type LayerScale = (layer: string, tensors: LayerTensors, rank: number) => number

/**
 * Alpha is a tensor of the layer, or in the adapter's config: in the metadata (diffusers), or in `adapter_config.json` beside the file (PEFT). Without any
 * of these the scale is 1, as all loaders assume.
 */
export function openLayerScale(file: Safetensors, invalid: InvalidLora): LayerScale {
  const config = adapterConfig(file, invalid)
  return (layer, { alpha }, rank) => {
    if (alpha !== undefined) return readAlpha(file, alpha, invalid) / rank
    const configured = config && (config.alphaOf(layer) ?? config.alpha)
    if (config === undefined || configured === undefined) return 1
    return configured / (config.isRankStabilized ? Math.sqrt(rank) : rank)
  }
}

/** The key of diffusers' metadata, and what remains of the metadata when alpha has been multiplied into the factors. */
const adapterMetadataKey = 'lora_adapter_metadata'

export function withoutAdapterConfig({ [adapterMetadataKey]: _, ...metadata }: Metadata): Metadata {
  return metadata
}

function readAlpha(file: Safetensors, name: string, invalid: InvalidLora): number {
  const { shape = [] } = file.tensors.get(name) ?? {}
  if (elementCount(shape) !== 1) throw invalid(`${name} has the shape [${shape}]`)
  const [alpha = Number.NaN] = file.float32(name)
  if (!Number.isFinite(alpha)) throw invalid(`${name} is ${alpha}`)
  return alpha
}

type AdapterConfig = {
  alpha: number | undefined
  /** The alpha of a layer that has its own. */
  alphaOf(layer: string): number | undefined
  /** rsLoRA: alpha is divided by the square root of the rank. */
  isRankStabilized: boolean
}

function adapterConfig(file: Safetensors, invalid: InvalidLora): AdapterConfig | undefined {
  const [source, text] = adapterConfigText(file) ?? []
  if (text === undefined) return undefined
  const fields = parseFields(text)
  if (fields === undefined) throw invalid(`${source} is not a JSON object`)
  const numberIn = (name: string, value: unknown) => {
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw invalid(`${source} has the ${name} ${JSON.stringify(value)}`)
    return value
  }
  if (fields.use_dora === true) throw invalid(`it is a DoRA, as ${source} says`, { hint: plainLoraHint })
  const alphas = Object.entries((fields.alpha_pattern ?? {}) as object).map(
    ([layer, alpha]) => [releasedLayerName(layer.replace(/^\^/, '')), numberIn('alpha_pattern', alpha)] as const,
  )
  const [unreadable] = alphas.filter(([layer]) => /[^\w.]/.test(layer))
  if (unreadable)
    throw invalid(`${source} has alphas for a pattern of layers, ${unreadable[0]}`, { hint: plainLoraHint })
  return {
    alpha: numberIn('lora_alpha', fields.lora_alpha),
    alphaOf: (layer) => alphas.find(([name]) => layer === name || layer.endsWith(`.${name}`))?.[1],
    isRankStabilized: fields.use_rslora === true,
  }
}

/** Where the config comes from, and its JSON. */
function adapterConfigText({ path, metadata, tensors }: Safetensors): [source: string, text: string] | undefined {
  const text = metadata[adapterMetadataKey]
  if (text !== undefined) return [`its metadata (${adapterMetadataKey})`, text]
  const beside = join(dirname(path), 'adapter_config.json')
  const isPeft =
    basename(path) === 'adapter_model.safetensors' && [...tensors.keys()].some((name) => name.startsWith('base_model.'))
  return isPeft && existsSync(beside) ? [beside, readFileSync(beside, 'utf8')] : undefined
}

/** diffusers puts the name of the component before each field: `transformer.lora_alpha`. */
function parseFields(text: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined
    return Object.fromEntries(
      Object.entries(parsed).map(([name, value]) => [name.replace(/^transformer\./, ''), value]),
    )
  } catch {
    return undefined
  }
}
