import type { TensorInfo } from '../../src/formats/safetensors-header.ts'
import type { BaseModel } from '../../src/model/base-model.ts'
import { goldenJson } from '../golden/golden.ts'

type Group = { prefix: string; count: number; names: Record<string, [string, number[]]> }

/** A base model with the tensor names and sizes of the released model. It has no weights of that size. */
export function releasedSize(base: BaseModel): BaseModel {
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
  const sizes = {
    num_layers: 48,
    audio_num_attention_heads: 32,
    audio_attention_head_dim: 64,
    audio_cross_attention_dim: 2048,
  }
  return {
    ...base,
    checkpoint: { ...base.checkpoint, tensors: new Map(shapes as [string, TensorInfo][]) },
    config: { ...base.config, transformer: { ...base.config.transformer, ...sizes } },
  }
}
