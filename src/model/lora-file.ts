/** LoRA files in the format of the LTX-2 trainer (reference §8): A and B of every layer, scale 1, facts about the training in the metadata. */

import { basename } from 'node:path'
import { toBfloat16 } from '../formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../formats/safetensors.ts'
import type { Metadata } from '../formats/safetensors-header.ts'
import { UserError } from '../platform/errors.ts'

/** The factors of one linear layer: `a` is `[rank, inputs]`, `b` is `[outputs, rank]`, both row-major. The layer's weight becomes W + B·A. */
export type LoraModule = { rank: number; inputs: number; outputs: number; a: Float32Array; b: Float32Array }

/** `modules` has the factors by the name of the layer, for example `transformer_blocks.0.audio_attn1.to_q`. */
export type LoraFile = { path: string; modules: ReadonlyMap<string, LoraModule>; metadata: Metadata }

/** Facts about a training. `preview` takes its defaults from them; other loaders ignore them. */
export type LoraMetadata = {
  rank: number
  alpha: number
  triggerPhrase: string
  /** Fingerprint of the base model's audio path. */
  baseModel: string
  /** The positions of reference and target: both start at 0 (reference §7.2). */
  referencePositions: 'overlapping'
  durationSeconds: number
  /** Whether the peak of every clip was normalized. The references of previews are normalized in the same way. */
  normalized: boolean
  steps: number
  toolVersion: string
}

/**
 * Writes trained factors in bfloat16. `scale` (alpha / rank) is multiplied into B, because readers assume scale 1.
 * @param factors by key: `diffusion_model.….lora_A.weight` `[rank, in]` and `….lora_B.weight` `[out, rank]`. Values are read when they are written.
 */
export function writeTrainedLora(
  path: string,
  factors: ReadonlyMap<string, { shape: number[]; values: Float32Array }>,
  scale: number,
  metadata: LoraMetadata,
) {
  const tensors = new Map<string, StoredTensor>()
  for (const [name, factor] of factors) {
    const isFolded = scale !== 1 && name.endsWith('.lora_B.weight')
    tensors.set(name, {
      dtype: 'BF16',
      shape: factor.shape,
      get bytes() {
        return toBfloat16(isFolded ? factor.values.map((value) => value * scale) : factor.values)
      },
    })
  }
  writeSafetensors(path, tensors, formatLoraMetadata(metadata))
}

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

const keyPattern = /^(?:diffusion_model\.)?(.+)\.lora_(A|B)\.weight$/

/**
 * Reads a LoRA file of this trainer or of another one with the same keys.
 * @throws UserError when the file cannot be read, contains other tensors, or the factors of a layer do not match.
 */
export function readLora(path: string): LoraFile {
  const file = openSafetensors(path)
  try {
    const invalid = (why: string) =>
      new UserError(`${basename(path)} is not a LoRA that can be used here: ${why}`, {
        hint: 'a LoRA of ltx-a2a or of the LTX-2 trainer has pairs of lora_A.weight and lora_B.weight',
      })
    const names = new Map<string, { A?: string; B?: string }>()
    for (const name of file.tensors.keys()) {
      const [, module, side] = keyPattern.exec(name) ?? []
      if (!module) throw invalid(`it contains ${name}`)
      names.set(module, { ...names.get(module), [side as 'A' | 'B']: name })
    }
    if (names.size === 0) throw invalid('it is empty')
    const modules = new Map<string, LoraModule>()
    for (const [module, { A, B }] of names) {
      if (!A || !B) throw invalid(`${module} has only lora_${A ? 'A' : 'B'}`)
      const [rank = 0, inputs = 0, ...restA] = file.tensors.get(A)?.shape ?? []
      const [outputs = 0, rankB = 0, ...restB] = file.tensors.get(B)?.shape ?? []
      if (rank !== rankB || restA.length + restB.length > 0)
        throw invalid(`${module} has the shapes [${file.tensors.get(A)?.shape}] and [${file.tensors.get(B)?.shape}]`)
      modules.set(module, { rank, inputs, outputs, a: file.float32(A), b: file.float32(B) })
    }
    return { path, modules, metadata: file.metadata }
  } finally {
    file.close()
  }
}

const formatLoraMetadata = (metadata: LoraMetadata): Metadata => ({
  rank: String(metadata.rank),
  alpha: String(metadata.alpha),
  trigger_phrase: metadata.triggerPhrase,
  base_model: metadata.baseModel,
  reference_positions: metadata.referencePositions,
  duration_seconds: String(metadata.durationSeconds),
  audio_normalize: String(metadata.normalized),
  steps: String(metadata.steps),
  tool: `ltx-a2a ${metadata.toolVersion}`,
})

/** The facts in a LoRA's metadata. Files of other trainers lack some or all of them. */
export function parseLoraMetadata({
  rank,
  alpha,
  trigger_phrase,
  base_model,
  duration_seconds,
  audio_normalize,
}: Metadata) {
  const number = (text?: string) => (text !== undefined && Number.isFinite(Number(text)) ? Number(text) : undefined)
  const seconds = number(duration_seconds)
  return {
    rank: number(rank),
    alpha: number(alpha),
    triggerPhrase: trigger_phrase,
    baseModel: base_model,
    durationSeconds: seconds !== undefined && seconds > 0 ? seconds : undefined,
    normalized: audio_normalize === undefined ? undefined : audio_normalize === 'true',
  }
}
