/** LoRA files as the reference writes and reads them (reference §8): A and B per layer, scale 1, everything else in the metadata. */
import { basename } from 'node:path'
import { toBfloat16 } from '../formats/dtypes.ts'
import { openSafetensors, type StoredTensor, writeSafetensors } from '../formats/safetensors.ts'
import type { Metadata } from '../formats/safetensors-header.ts'
import { UserError } from '../platform/errors.ts'

export type LoraModule = { rank: number; inputs: number; outputs: number; a: Float32Array; b: Float32Array }

export type LoraFile = { path: string; modules: ReadonlyMap<string, LoraModule>; metadata: Metadata }

/** What a run tells about its LoRA. Loaders elsewhere ignore metadata; our preview takes its defaults from it. */
export type LoraMetadata = {
  rank: number
  alpha: number
  triggerPhrase: string
  /** Fingerprint of the base model's audio path. */
  baseModel: string
  /** How reference and target stand in time: both start at 0. */
  referencePositions: 'overlapping'
  durationSeconds: number
  /** Whether every clip's peak was brought to one level; references of previews are treated alike. */
  normalized: boolean
  steps: number
  toolVersion: string
}

/**
 * Writes factors `name → values` in bfloat16. `scale` (alpha / rank) is folded into B, because readers assume scale 1.
 * @param factors `diffusion_model.….lora_A.weight` `[rank, in]` and `lora_B.weight` `[out, rank]`; values are asked for when they are written.
 */
export function writeTrainedLora(
  path: string,
  factors: ReadonlyMap<string, { shape: number[]; values: Float32Array }>,
  scale: number,
  facts: LoraMetadata,
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
  writeSafetensors(path, tensors, formatLoraMetadata(facts))
}

/**
 * Writes a LoRA, for example one that `readLora` has read and a program has changed, in bfloat16 and with scale 1.
 * @throws UserError when the file cannot be written.
 */
export function writeLora(path: string, { modules, metadata }: Pick<LoraFile, 'modules' | 'metadata'>) {
  const tensors = new Map<string, StoredTensor>()
  for (const [module, { rank, inputs, outputs, a, b }] of modules) {
    const names = loraKeys(module)
    tensors.set(names.a, { dtype: 'BF16', shape: [rank, inputs], bytes: toBfloat16(a) })
    tensors.set(names.b, { dtype: 'BF16', shape: [outputs, rank], bytes: toBfloat16(b) })
  }
  writeSafetensors(path, tensors, metadata)
}

/** The names of the factors of a module in a LoRA file. */
export const loraKeys = (module: string) => ({
  a: `diffusion_model.${module}.lora_A.weight`,
  b: `diffusion_model.${module}.lora_B.weight`,
})

const key = /^(?:diffusion_model\.)?(.+)\.lora_(A|B)\.weight$/

/**
 * Reads a LoRA file, ours or another trainer's.
 * @throws UserError when tensors are not LoRA factors, a factor is alone, or the two do not fit together.
 */
export function readLora(path: string): LoraFile {
  const file = openSafetensors(path)
  try {
    const broken = (why: string) =>
      new UserError(`${basename(path)} is not a LoRA this tool can use: ${why}`, {
        hint: 'it needs pairs of lora_A.weight and lora_B.weight, as ltx-a2a and the LTX-2 trainer write them',
      })
    const names = new Map<string, { A?: string; B?: string }>()
    for (const name of file.tensors.keys()) {
      const [, module, side] = key.exec(name) ?? []
      if (!module) throw broken(`it holds ${name}`)
      names.set(module, { ...names.get(module), [side as 'A' | 'B']: name })
    }
    if (names.size === 0) throw broken('it is empty')
    const modules = new Map<string, LoraModule>()
    for (const [module, { A, B }] of names) {
      if (!A || !B) throw broken(`${module} has only its lora_${A ? 'A' : 'B'}`)
      const [rank = 0, inputs = 0, ...restA] = file.tensors.get(A)?.shape ?? []
      const [outputs = 0, rankB = 0, ...restB] = file.tensors.get(B)?.shape ?? []
      if (rank !== rankB || restA.length + restB.length > 0)
        throw broken(`${module} has the shapes [${file.tensors.get(A)?.shape}] and [${file.tensors.get(B)?.shape}]`)
      modules.set(module, { rank, inputs, outputs, a: file.float32(A), b: file.float32(B) })
    }
    return { path, modules, metadata: file.metadata }
  } finally {
    file.close()
  }
}

const formatLoraMetadata = (facts: LoraMetadata): Metadata => ({
  rank: String(facts.rank),
  alpha: String(facts.alpha),
  trigger_phrase: facts.triggerPhrase,
  base_model: facts.baseModel,
  reference_positions: facts.referencePositions,
  duration_seconds: String(facts.durationSeconds),
  audio_normalize: String(facts.normalized),
  steps: String(facts.steps),
  tool: `ltx-a2a ${facts.toolVersion}`,
})

/** The facts that a file of ours carries; a file of another trainer carries none, or some. */
export function parseLoraMetadata({
  rank,
  alpha,
  trigger_phrase,
  base_model,
  duration_seconds,
  audio_normalize,
}: Metadata) {
  const number = (text?: string) => (text !== undefined && Number.isFinite(Number(text)) ? Number(text) : undefined)
  return {
    rank: number(rank),
    alpha: number(alpha),
    triggerPhrase: trigger_phrase,
    baseModel: base_model,
    durationSeconds: number(duration_seconds),
    normalized: audio_normalize === undefined ? undefined : audio_normalize === 'true',
  }
}
