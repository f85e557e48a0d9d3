import type { TensorInfo } from '../../src/formats/safetensors-header.ts'
import type { BaseModel } from '../../src/model/base-model.ts'
import { goldenJson } from '../golden/golden.ts'

type Group = { prefix: string; count: number; names: Record<string, [string, number[]]> }

/** A base model with the tensor names and sizes of the released model, or of its first blocks. It has no weights of that size. */
export function releasedSize(base: BaseModel, blocks = 48): BaseModel {
  const { groups, tensors } = goldenJson('manifest-22b-audio.json')
  const names = groups.flatMap(({ prefix, count, names }: Group) =>
    Array.from({ length: count }, (_, i) =>
      Object.entries(names).map(([name, entry]) => [`${prefix}${i}.${name}`, entry]),
    ).flat(),
  )
  const shapes = [...names, ...Object.entries(tensors)].map(([name, [dtype, shape]]) => {
    const bytes = 2 * shape.reduce((product: number, size: number) => product * size, 1)
    return [name, { dtype, shape, start: 0, end: bytes }]
  })
  const isKept = ([name]: [string, TensorInfo]) => Number(/\.transformer_blocks\.(\d+)\./.exec(name)?.[1] ?? 0) < blocks
  const sizes = {
    num_layers: blocks,
    audio_num_attention_heads: 32,
    audio_attention_head_dim: 64,
    audio_cross_attention_dim: 2048,
  }
  return {
    ...base,
    checkpoint: { ...base.checkpoint, tensors: new Map((shapes as [string, TensorInfo][]).filter(isKept)) },
    config: { ...base.config, transformer: { ...base.config.transformer, ...sizes } },
  }
}
