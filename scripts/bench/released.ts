/** The sizes of the released model: its config, and the shapes of its tensors. */
import { readFileSync } from 'node:fs'
import type { ModelConfig } from '../../src/model/config.ts'

export const modelWidth = 2048

const generator = {
  resblock: 'AMP1' as const,
  resblock_kernel_sizes: [3, 7, 11],
  resblock_dilation_sizes: [
    [1, 3, 5],
    [1, 3, 5],
    [1, 3, 5],
  ],
  activation: 'snakebeta' as const,
  use_tanh_at_final: false,
  use_bias_at_final: false,
}

export const releasedConfig: ModelConfig = {
  transformer: {
    num_layers: 48,
    audio_num_attention_heads: 32,
    audio_attention_head_dim: 64,
    audio_cross_attention_dim: modelWidth,
    audio_in_channels: 128,
    audio_out_channels: 128,
    audio_positional_embedding_max_pos: [20],
    positional_embedding_theta: 10_000,
    norm_eps: 1e-6,
    timestep_scale_multiplier: 1000,
    rope_type: 'split',
    use_middle_indices_grid: true,
    cross_attention_adaln: true,
    caption_channels: 3840,
    caption_proj_before_connector: true,
    connector_num_layers: 8,
    audio_connector_num_attention_heads: 32,
    audio_connector_attention_head_dim: 64,
    connector_positional_embedding_max_pos: [4096],
    connector_num_learnable_registers: 128,
    connector_norm_output: true,
    audio_ff_bias: true,
    connector_ff_bias: true,
    use_prompt_adaln_single: true,
  },
  audio_vae: {
    model: {
      params: {
        ddconfig: {
          mel_bins: 64,
          z_channels: 8,
          in_channels: 2,
          out_ch: 2,
          ch: 128,
          ch_mult: [1, 2, 4],
          num_res_blocks: 2,
          double_z: true,
          mid_block_add_attention: false,
          norm_type: 'pixel',
          causality_axis: 'height',
        },
        sampling_rate: 16_000,
      },
    },
    preprocessing: {
      stft: { filter_length: 1024, hop_length: 160, win_length: 1024 },
      mel: { n_mel_channels: 64 },
    },
  },
  vocoder: {
    vocoder: {
      ...generator,
      upsample_initial_channel: 1536,
      upsample_rates: [5, 2, 2, 2, 2, 2],
      upsample_kernel_sizes: [11, 4, 4, 4, 4, 4],
      apply_final_activation: true,
    },
    bwe: {
      ...generator,
      upsample_initial_channel: 512,
      upsample_rates: [6, 5, 2, 2, 2],
      upsample_kernel_sizes: [12, 11, 4, 4, 4],
      apply_final_activation: false,
      input_sampling_rate: 16_000,
      output_sampling_rate: 48_000,
      hop_length: 80,
      n_fft: 512,
      win_size: 512,
      num_mels: 64,
    },
  },
}

type Manifest = {
  groups: { prefix: string; names: Record<string, [string, number[]]> }[]
  tensors: Record<string, [string, number[]]>
}

/** Shapes by the names of the tensors without their prefix. Of repeated blocks, only the first is included. @param prefix of a component, such as `audio_vae.`. */
export function releasedShapes(prefix: string): ReadonlyMap<string, readonly number[]> {
  const manifest = new URL('../../test/golden/data/manifest-22b-audio.json', import.meta.url)
  const { groups, tensors } = JSON.parse(readFileSync(manifest, 'utf8')) as Manifest
  const grouped = groups.flatMap(({ prefix, names }) =>
    Object.entries(names).map(([name, [, shape]]) => [`${prefix}0.${name}`, shape] as const),
  )
  const all = [...grouped, ...Object.entries(tensors).map(([name, [, shape]]) => [name, shape] as const)]
  return new Map(all.flatMap(([name, shape]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), shape]] : [])))
}
