/** The sizes and switches of the model, from the JSON in the metadata of the checkpoint (reference §1.4, §10.1). Nothing else has hidden defaults. */
import { basename } from 'node:path'
import { z } from 'zod'
import type { MelOptions } from '../audio/mel.ts'
import type { Safetensors } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'
import { parseJson } from '../platform/json.ts'
import { hasTensors } from './weights.ts'

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

const withoutVocoder = z.object({ transformer, audio_vae: audioVae })
const vocoder = z.object({ vocoder: generator, bwe: bandwidthExtension })
const withVocoder = withoutVocoder.extend({ vocoder })

export type ModelConfig = z.infer<typeof withoutVocoder> & { vocoder?: VocoderConfig }
export type TransformerConfig = ModelConfig['transformer']
export type AudioVaeConfig = ModelConfig['audio_vae']
export type VocoderConfig = z.infer<typeof vocoder>

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
 * The config in a checkpoint's metadata. What it says of a vocoder is ignored where the checkpoint has none.
 * @throws UserError when it is missing, is not JSON, has a value that is not supported, of which it names the first, or does not describe the vocoder.
 */
export function readModelConfig(checkpoint: Pick<Safetensors, 'path' | 'metadata' | 'tensors'>): ModelConfig {
  const file = basename(checkpoint.path)
  const text = checkpoint.metadata.config
  if (!text)
    throw new UserError(`${file} has no model config in its metadata`, {
      hint: 'use a complete checkpoint such as ltx-2.3-22b-dev.safetensors',
    })
  const sections = parseConfig(text, file)
  const parsed = (hasVocoder(checkpoint) ? withVocoder : withoutVocoder).safeParse(sections)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  if (issue?.path.join() === 'vocoder')
    throw new UserError(`${file} has a vocoder, but the model config does not describe it`, {
      hint: 'use another copy of the checkpoint',
    })
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

/** The number of blocks of the audio connector. */
export const connectorBlocks = (config: TransformerConfig) =>
  config.audio_connector_num_layers ?? config.connector_num_layers
