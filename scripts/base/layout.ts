/** The tensors of a small base: names and types of the released files, with smaller shapes. */
import { readFileSync } from 'node:fs'
import type { Dtype } from '../../src/formats/dtypes.ts'
import { type BaseSize, releasedKernels, sizeMappings } from './sizes.ts'

export type Layout = Map<string, { dtype: Dtype; shape: number[] }>

type Manifest = {
  groups: { prefix: string; count: number; names: Record<string, [Dtype, number[]]> }[]
  tensors: Record<string, [Dtype, number[]]>
}

const manifestFile = new URL('../../test/golden/data/manifest-22b-audio.json', import.meta.url)

/** How many blocks replace those of the manifest's groups. */
const groupCounts = (size: BaseSize): Record<string, number> => ({
  'model.diffusion_model.transformer_blocks.': size.transformerBlocks,
  'model.diffusion_model.audio_embeddings_connector.transformer_1d_blocks.': size.connectorBlocks,
})

/** The tensors of the audio path of LTX-2.3. */
export function checkpointLayout(size: BaseSize): Layout {
  const { groups, tensors } = JSON.parse(readFileSync(manifestFile, 'utf8')) as Manifest
  const grouped = groups.flatMap(({ prefix, count, names }) =>
    Array.from({ length: groupCounts(size)[prefix] ?? count }, (_, i) =>
      Object.entries(names).map(([name, entry]) => [`${prefix}${i}.${name}`, entry] as const),
    ).flat(),
  )
  return new Map(
    [...grouped, ...withKernels(Object.entries(tensors), size.vocoder?.kernels ?? [])]
      .filter(([name]) => size.vocoder || !name.startsWith('vocoder.'))
      .map(([name, [dtype, shape]]) => [name, { dtype, shape: resize(size, name, shape) }] as const)
      .sort(([a, { dtype: dtypeA }], [b, { dtype: dtypeB }]) =>
        dtypeA === dtypeB ? compare(a, b) : compare(dtypeB, dtypeA),
      ),
  )
}

/** The tensors without the vocoder's residual blocks of other kernel sizes. The remaining blocks are renumbered. */
export const withKernels = <T>(tensors: readonly [name: string, T][], kernels: readonly number[]) =>
  tensors.flatMap(([name, entry]): [string, T][] => {
    const [, prefix, block, rest] = /^(.*\.resblocks\.)(\d+)(\..*)$/.exec(name) ?? []
    if (block === undefined) return [[name, entry]]
    const kernel = kernels.indexOf(releasedKernels[Number(block) % releasedKernels.length] as number)
    const stage = Math.floor(Number(block) / releasedKernels.length)
    return kernel < 0 ? [] : [[`${prefix}${stage * kernels.length + kernel}${rest}`, entry]]
  })

/** The tensors of Gemma 3's text tower, with the names of the Hugging Face release. */
export function textEncoderLayout({ gemma }: BaseSize, vocabularySize: number): Layout {
  const { hidden, layers, heads, keyValueHeads, headDim, inner } = gemma
  const layer: Record<string, number[]> = {
    'input_layernorm.weight': [hidden],
    'post_attention_layernorm.weight': [hidden],
    'pre_feedforward_layernorm.weight': [hidden],
    'post_feedforward_layernorm.weight': [hidden],
    'self_attn.q_proj.weight': [heads * headDim, hidden],
    'self_attn.k_proj.weight': [keyValueHeads * headDim, hidden],
    'self_attn.v_proj.weight': [keyValueHeads * headDim, hidden],
    'self_attn.o_proj.weight': [hidden, heads * headDim],
    'self_attn.q_norm.weight': [headDim],
    'self_attn.k_norm.weight': [headDim],
    'mlp.gate_proj.weight': [inner, hidden],
    'mlp.up_proj.weight': [inner, hidden],
    'mlp.down_proj.weight': [hidden, inner],
  }
  const shapes = [
    ['embed_tokens.weight', [vocabularySize, hidden]] as const,
    ...Array.from({ length: layers }, (_, i) =>
      Object.entries(layer).map(([name, shape]) => [`layers.${i}.${name}`, shape] as const),
    ).flat(),
    ['norm.weight', [hidden]] as const,
  ]
  return new Map(shapes.map(([name, shape]) => [`language_model.model.${name}`, { dtype: 'BF16', shape: [...shape] }]))
}

function resize(size: BaseSize, name: string, shape: number[]): number[] {
  const [, sizes = {}] = sizeMappings(size).find(([prefix]) => name.startsWith(prefix)) ?? []
  return shape.map((released) => sizes[released] ?? released)
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
