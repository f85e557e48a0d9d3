/** The sizes and switches of the model, from the JSON in the metadata of the checkpoint (reference §1.4, §10.1). Nothing else has hidden defaults. */
import { basename } from 'node:path'
import { z } from 'zod'
import type { MelOptions } from '../audio/mel.ts'
import type { Safetensors } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'
import { parseJson } from '../platform/json.ts'
import { countMembers, hasTensors } from './weights.ts'

/** What the names of the transformer's tensors start with in the released file. */
export const transformerPrefix = 'model.diffusion_model.'

/** What the names of the vocoder's tensors start with. */
export const vocoderPrefix = 'vocoder.'

const count = z.number().int().positive()
const counts = z.array(count).min(1)

const transformer = z.object({
  num_layers: count,
  audio_num_attention_heads: count,
  audio_attention_head_dim: count,
  audio_cross_attention_dim: count,
  audio_in_channels: count.default(128), // absent in the released file
  audio_out_channels: count,
  audio_positional_embedding_max_pos: z.array(z.number().positive()).length(1),
  positional_embedding_theta: z.number().positive(),
  norm_eps: z.literal(1e-6), // the norms of the blocks have no other
  timestep_scale_multiplier: z.number().positive(),
  rope_type: z.literal('split'),
  use_middle_indices_grid: z.literal(true),
  cross_attention_adaln: z.literal(true),
  caption_channels: count,
  caption_proj_before_connector: z.literal(true),
  connector_num_layers: count,
  audio_connector_num_layers: count.optional(), // absent in the released file: the same as for video
  audio_connector_num_attention_heads: count,
  audio_connector_attention_head_dim: count,
  connector_positional_embedding_max_pos: z.array(z.number().positive()).length(1),
  connector_num_learnable_registers: count,
  connector_norm_output: z.boolean(),
  text_encoder_norm_type: z
    .string()
    .regex(/^per_token_rms$/i)
    .optional(),
  // switches; `requireConsistency` compares them with the tensors
  audio_ff_bias: z.boolean().default(true),
  connector_ff_bias: z.boolean().default(true),
  use_prompt_adaln_single: z.boolean().default(true),
  apply_gated_attention: z.boolean().optional(),
  connector_apply_gated_attention: z.boolean().optional(),
})

const audioVae = z.object({
  model: z.object({
    params: z.object({
      ddconfig: z.object({
        mel_bins: count,
        z_channels: count,
        in_channels: count,
        out_ch: count,
        ch: count,
        ch_mult: counts,
        num_res_blocks: count,
        double_z: z.boolean(),
        mid_block_add_attention: z.literal(false),
        norm_type: z.literal('pixel'),
        causality_axis: z.literal('height'),
      }),
      sampling_rate: count,
    }),
  }),
  preprocessing: z.object({
    stft: z.object({ filter_length: count, hop_length: count, win_length: count }),
    mel: z.object({ n_mel_channels: count }),
  }),
})

const generator = z.object({
  upsample_initial_channel: count,
  upsample_rates: counts,
  upsample_kernel_sizes: counts,
  resblock_kernel_sizes: counts,
  resblock_dilation_sizes: z.array(counts).min(1),
  resblock: z.literal('AMP1'),
  activation: z.literal('snakebeta'),
  use_tanh_at_final: z.boolean().default(true),
  use_bias_at_final: z.boolean().default(true),
  apply_final_activation: z.boolean().default(true),
})

const bandwidthExtension = generator.extend({
  input_sampling_rate: count,
  output_sampling_rate: count,
  hop_length: count,
  n_fft: count,
  win_size: count,
  num_mels: count,
})

const schema = z.object({
  transformer,
  audio_vae: audioVae,
  vocoder: z.object({ vocoder: generator, bwe: bandwidthExtension }).optional(),
})

export type ModelConfig = z.infer<typeof schema>
export type TransformerConfig = ModelConfig['transformer']
export type AudioVaeConfig = ModelConfig['audio_vae']
export type VocoderConfig = NonNullable<ModelConfig['vocoder']>

/** The settings of the log-mel front end. */
export const melOptionsOf = ({ model, preprocessing }: AudioVaeConfig): MelOptions => ({
  sampleRate: model.params.sampling_rate,
  nFft: preprocessing.stft.filter_length,
  hop: preprocessing.stft.hop_length,
  melBins: preprocessing.mel.n_mel_channels,
})

export type GeneratorConfig = z.infer<typeof generator>
export type BandwidthExtensionConfig = z.infer<typeof bandwidthExtension>

/**
 * The config in a checkpoint's metadata.
 * @throws UserError when it is missing, is not JSON, or has a value that is not supported; it names the first one.
 */
export function readModelConfig(checkpoint: Pick<Safetensors, 'path' | 'metadata'>): ModelConfig {
  const file = basename(checkpoint.path)
  const text = checkpoint.metadata.config
  if (!text)
    throw new UserError(`${file} has no model config in its metadata`, {
      hint: 'use a complete checkpoint such as ltx-2.3-22b-dev.safetensors',
    })
  const parsed = schema.safeParse(parseConfig(text, file))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new UserError(
    `the model config in ${file} is not that of LTX-2.3 or LTX-2.5: ${issue?.path.join('.')}: ${issue?.message}`,
    { hint: 'use a checkpoint of one of them' },
  )
}

/** @throws UserError when the text is not JSON, or has a key twice. */
export function parseConfig(text: string, file: string): unknown {
  const hint = 'download the checkpoint again'
  return parseJson(text, {
    invalid: (cause) => new UserError(`the model config in ${file} is not JSON`, { hint, cause }),
    repeated: (key) => new UserError(`the model config in ${file} has ${key} twice`, { hint }),
  })
}

/** Whether there is a vocoder. Without one, sound is made by phase reconstruction. */
export const hasVocoder = ({ tensors }: Pick<Safetensors, 'tensors'>) => hasTensors(tensors, vocoderPrefix)

/**
 * Compares the numbers of blocks, the switches and the vocoder of the config with the tensors that they promise or exclude.
 * @throws UserError with both facts where they disagree.
 */
export function requireConsistency(
  checkpoint: Pick<Safetensors, 'path' | 'tensors'>,
  { transformer, vocoder }: ModelConfig,
) {
  const file = basename(checkpoint.path)
  if (vocoder === undefined && hasVocoder(checkpoint))
    throw new UserError(`${file} has a vocoder, but the model config does not describe it`, {
      hint: 'use another copy of the checkpoint',
    })
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

/** The number of blocks of the audio connector. */
export const connectorBlocks = (config: TransformerConfig) =>
  config.audio_connector_num_layers ?? config.connector_num_layers
