/** Whether the config of a checkpoint and its tensors agree. */
import { basename } from 'node:path'
import type { Safetensors } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'
import { connectorBlocks, type ModelConfig, type TransformerConfig, transformerPrefix } from './config.ts'
import { requireVocoder } from './vocoder/vocoder-tensors.ts'
import { countMembers } from './weights.ts'

/**
 * Compares the numbers of blocks, the switches and the vocoder of the config with the tensors that they promise or exclude.
 * @throws UserError with both facts where they disagree.
 */
export function requireConsistency(
  checkpoint: Pick<Safetensors, 'path' | 'tensors'>,
  { transformer, vocoder }: ModelConfig,
) {
  const file = basename(checkpoint.path)
  if (vocoder) requireVocoder(checkpoint, vocoder)
  for (const { key, blocks, prefix } of blocksOf(transformer)) {
    const stored = countMembers(checkpoint.tensors.keys(), prefix)
    if (stored !== blocks)
      throw new UserError(`the model config in ${file} says ${key} = ${blocks}, but there are ${stored} blocks`, {
        hint: 'use another copy of the checkpoint',
      })
  }
  for (const { key, blocks, tensors } of switchesOf(transformer)) {
    const isOn = transformer[key]
    if (isOn === undefined) continue // the config of other files may lack the key: their tensors decide
    const names = Array.from({ length: blocks }, (_, block) => tensors.map((name) => name.replace('{}', `${block}`)))
    const odd = names.flat().find((name) => checkpoint.tensors.has(name) !== isOn)
    if (odd !== undefined)
      throw new UserError(
        `the model config in ${file} says ${key} = ${isOn}, but ${isOn ? 'there is no tensor' : 'there is a tensor'} ${odd}`,
        { hint: 'use another copy of the checkpoint; a missing key of the config means true' },
      )
  }
}

const blocksOf = (config: TransformerConfig) => [
  { key: 'num_layers', blocks: config.num_layers, prefix: `${transformerPrefix}transformer_blocks.` },
  {
    key: config.audio_connector_num_layers === undefined ? 'connector_num_layers' : 'audio_connector_num_layers',
    blocks: connectorBlocks(config),
    prefix: `${transformerPrefix}audio_embeddings_connector.transformer_1d_blocks.`,
  },
]

/** `{}` in a name is the number of the block. */
const switchesOf = (config: TransformerConfig) =>
  [
    { key: 'audio_ff_bias', blocks: config.num_layers, tensors: biasesOf('transformer_blocks.{}.audio_ff') },
    {
      key: 'connector_ff_bias',
      blocks: connectorBlocks(config),
      tensors: biasesOf('audio_embeddings_connector.transformer_1d_blocks.{}.ff'),
    },
    {
      key: 'use_prompt_adaln_single',
      blocks: 1,
      tensors: ['emb.timestep_embedder.linear_1', 'emb.timestep_embedder.linear_2', 'linear'].flatMap((layer) =>
        ['weight', 'bias'].map((part) => `${transformerPrefix}audio_prompt_adaln_single.${layer}.${part}`),
      ),
    },
    {
      key: 'apply_gated_attention',
      blocks: config.num_layers,
      tensors: ['audio_attn1', 'audio_attn2'].map(
        (name) => `${transformerPrefix}transformer_blocks.{}.${name}.${gate}`,
      ),
    },
    {
      key: 'connector_apply_gated_attention',
      blocks: connectorBlocks(config),
      tensors: [`${transformerPrefix}audio_embeddings_connector.transformer_1d_blocks.{}.attn1.${gate}`],
    },
  ] as const

const gate = 'to_gate_logits.weight'
const biasesOf = (feedForward: string) =>
  ['net.0.proj', 'net.2'].map((layer) => `${transformerPrefix}${feedForward}.${layer}.bias`)
