/**
 * LoRA files. They are written in the format of the LTX-2 trainer (reference §8): A and B of every layer, scale 1, facts about the training in the metadata.
 * Those of other trainers are read, too.
 */

import { basename } from 'node:path'
import { toBfloat16 } from '../formats/dtypes.ts'
import {
  openSafetensors,
  type ReadableTensor,
  type Safetensors,
  type StoredTensor,
  writeReadableTensors,
  writeSafetensors,
} from '../formats/safetensors.ts'
import type { Metadata } from '../formats/safetensors-header.ts'
import { UserError } from '../platform/errors.ts'
import { plain } from '../platform/text.ts'
import { findLayers, type InvalidLora, plainLoraHint } from './lora-keys.ts'
import { openLayerScale, withoutAdapterConfig } from './lora-scale.ts'

/** The factors of one linear layer: `a` is `[rank, inputs]`, `b` is `[outputs, rank]`, both row-major. The layer's weight becomes W + B·A. */
export type LoraModule = { rank: number; inputs: number; outputs: number; a: Float32Array; b: Float32Array }

/** `modules` has the factors by the name of the layer, for example `transformer_blocks.0.audio_attn1.to_q`. */
export type LoraFile = { path: string; modules: ReadonlyMap<string, LoraModule>; metadata: Metadata }

/** Facts about a training. `preview` takes its defaults from them; other loaders ignore them. */
export type LoraMetadata = {
  rank: number
  alpha: number
  triggerPhrase: string
  /** A caption of the training; undefined where most clips had none beside the trigger phrase. At most 200 characters of it are stored, as one line. */
  exampleCaption?: string | undefined
  /** Fingerprint of the base model's audio path. */
  baseModel: string
  /** The version of the base, where it is not that of LTX-2.3, for example `2.5.0`. The shapes of a LoRA fit all releases. */
  baseVersion?: string | undefined
  /** The positions of reference and target: both start at 0 (reference §7.2). */
  referencePositions: 'overlapping'
  durationSeconds: number
  /** Whether the peak of every clip was normalized. The references of previews are normalized in the same way. */
  normalized: boolean
  steps: number
  /** Of a moving average over the steps: its decay. */
  emaDecay?: number | undefined
  toolVersion: string
}

/**
 * Writes trained factors in bfloat16. `scale` (alpha / rank) is multiplied into B, because readers assume scale 1.
 * @param factors by key: `diffusion_model.….lora_A.weight` `[rank, in]` and `….lora_B.weight` `[out, rank]`. Values are read when they are written.
 */
export async function writeTrainedLora(
  path: string,
  factors: ReadonlyMap<string, TrainedFactor>,
  scale: number,
  metadata: LoraMetadata,
): Promise<void> {
  const tensors = new Map<string, ReadableTensor>()
  for (const [name, factor] of factors) {
    const isFolded = scale !== 1 && name.endsWith('.lora_B.weight')
    tensors.set(name, {
      dtype: 'BF16',
      shape: factor.shape,
      read: async () => {
        const values = await factor.values
        return toBfloat16(isFolded ? values.map((value) => value * scale) : values)
      },
    })
  }
  await writeReadableTensors(path, tensors, formatLoraMetadata(metadata))
}

/** A factor of a LoRA in training. */
export type TrainedFactor = { shape: number[]; values: Float32Array | Promise<Float32Array> }

/**
 * Writes a LoRA in bfloat16 and with scale 1, for example a modified result of `readLora`.
 * @throws UserError when the factors of a layer do not match its sizes. Errors of the file system are thrown as they are.
 */
export function writeLora(path: string, { modules, metadata }: Pick<LoraFile, 'modules' | 'metadata'>) {
  const tensors = new Map<string, StoredTensor>()
  for (const [module, { rank, inputs, outputs, a, b }] of modules) {
    const names = loraKeys(module)
    requireFactor(names.a, a, [rank, inputs])
    requireFactor(names.b, b, [outputs, rank])
    tensors.set(names.a, { dtype: 'BF16', shape: [rank, inputs], bytes: toBfloat16(a) })
    tensors.set(names.b, { dtype: 'BF16', shape: [outputs, rank], bytes: toBfloat16(b) })
  }
  writeSafetensors(path, tensors, metadata)
}

/** Programs without types may pass anything. */
function requireFactor(name: string, values: unknown, shape: [number, number]) {
  const expected = `${name} must be a Float32Array of the shape [${shape}]`
  if (!(values instanceof Float32Array)) throw new UserError(expected)
  if (!shape.every((size) => Number.isInteger(size) && size > 0) || values.length !== shape[0] * shape[1])
    throw new UserError(`${expected}, but has ${values.length} values`)
}

/** The keys of a layer's factors in a LoRA file. */
export const loraKeys = (module: string) => ({
  a: `diffusion_model.${module}.lora_A.weight`,
  b: `diffusion_model.${module}.lora_B.weight`,
})

/**
 * Reads a LoRA file of this trainer or of another one. The layers have the names of the released checkpoint, and alpha is multiplied into B.
 * @throws UserError when the file cannot be read, is another kind of adapter, has factors that do not match, or values that cannot be weights.
 */
export function readLora(path: string): LoraFile {
  const file = openSafetensors(path)
  const invalid = (why: string, { hint } = { hint: plainLoraHint }) =>
    new UserError(`${basename(path)} is not a LoRA that can be used here: ${why}`, { hint })
  try {
    const layers = findLayers(file.tensors.keys(), invalid)
    const scaleOf = openLayerScale(file, invalid)
    const modules = new Map<string, LoraModule>()
    for (const [layer, tensors] of layers) {
      const [rank = 0, inputs = 0, ...restA] = file.tensors.get(tensors.a)?.shape ?? []
      const [outputs = 0, rankB = 0, ...restB] = file.tensors.get(tensors.b)?.shape ?? []
      if (rank !== rankB || rank === 0 || restA.length + restB.length > 0)
        throw invalid(
          `${layer} has the shapes [${file.tensors.get(tensors.a)?.shape}] and [${file.tensors.get(tensors.b)?.shape}]`,
        )
      const [a, b] = [readFactor(file, tensors.a, invalid), readFactor(file, tensors.b, invalid)]
      const module = { rank, inputs, outputs, a, b: scaled(b, scaleOf(layer, tensors, rank)) }
      requirePlausible(layer, module, invalid)
      modules.set(layer, module)
    }
    return { path, modules, metadata: withoutAdapterConfig(file.metadata) }
  } finally {
    file.close()
  }
}

function readFactor(file: Safetensors, name: string, invalid: InvalidLora): Float32Array {
  const { dtype = '' } = file.tensors.get(name) ?? {}
  if (!/^B?F/.test(dtype)) throw invalid(`${name} is stored as ${dtype}, not as floating-point numbers`)
  return file.float32(name)
}

const scaled = (values: Float32Array, scale: number) => (scale === 1 ? values : values.map((value) => value * scale))

/** What a LoRA may add to a weight, and the size of a factor: weights of the model are about 1 or smaller. */
const [largestChange, largestFactor] = [1e3, 1e5]

/** @throws for values that are not finite, or so large that only noise can come of them. */
function requirePlausible(layer: string, { a, b }: LoraModule, invalid: InvalidLora) {
  const magnitudes = [largestMagnitude(a), largestMagnitude(b)] as const
  const change = magnitudes[0] * magnitudes[1]
  if (change <= largestChange && Math.max(...magnitudes) <= largestFactor) return
  const why = magnitudes.every(Number.isFinite)
    ? `has values of up to ${magnitudes.map((value) => value.toPrecision(2)).join(' and ')} in its factors`
    : 'has a value that is not finite'
  throw invalid(`${layer} ${why}`, {
    hint: 'its training diverged, or it was damaged when it was converted or copied: use an earlier checkpoint or the original file',
  })
}

/** NaN where a value is NaN. */
const largestMagnitude = (values: Float32Array) =>
  values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)

/** In characters: enough to show how captions are worded. */
const longestExample = 200

const shortLine = (text: string) => {
  const characters = [...plain(text)]
  return characters.length > longestExample
    ? `${characters.slice(0, longestExample - 1).join('')}…`
    : characters.join('')
}

const formatLoraMetadata = (metadata: LoraMetadata): Metadata => ({
  rank: String(metadata.rank),
  alpha: String(metadata.alpha),
  trigger_phrase: metadata.triggerPhrase,
  ...exampleIn(metadata.exampleCaption),
  base_model: metadata.baseModel,
  ...(metadata.baseVersion !== undefined && { base_version: metadata.baseVersion }),
  reference_positions: metadata.referencePositions,
  duration_seconds: String(metadata.durationSeconds),
  audio_normalize: String(metadata.normalized),
  steps: String(metadata.steps),
  ...(metadata.emaDecay !== undefined && { ema_decay: String(metadata.emaDecay) }),
  tool: `ltx-a2a ${metadata.toolVersion}`,
})

/** Nothing where the caption has no characters that can be shown. */
const exampleIn = (caption = ''): Metadata => {
  const line = shortLine(caption)
  return line === '' ? {} : { example_caption: line }
}

/** The facts in a LoRA's metadata. Files of other trainers lack some or all of them. */
export function parseLoraMetadata({
  rank,
  alpha,
  trigger_phrase,
  example_caption,
  base_model,
  base_version,
  duration_seconds,
  audio_normalize,
}: Metadata) {
  const number = (text?: string) => (text !== undefined && Number.isFinite(Number(text)) ? Number(text) : undefined)
  const seconds = number(duration_seconds)
  return {
    rank: number(rank),
    alpha: number(alpha),
    triggerPhrase: trigger_phrase,
    exampleCaption: (example_caption && shortLine(example_caption)) || undefined,
    baseModel: base_model,
    baseVersion: base_version ?? (base_model === undefined ? undefined : '2.3'),
    durationSeconds: seconds !== undefined && seconds > 0 ? seconds : undefined,
    normalized: audio_normalize === 'true' ? true : audio_normalize === 'false' ? false : undefined,
  }
}
