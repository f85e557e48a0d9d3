/**
 * The configs of the checkpoint and of the text encoder, with the keys of the released files (reference §1.4, §5.3). The reference implementation's loader
 * refuses a transformer without some of them, `dropout` for example, although only one value is allowed.
 */
import type { BaseSize, VocoderSize } from './sizes.ts'

const generatorConfig = ({ kernels }: VocoderSize) => ({
  resblock: 'AMP1',
  resblock_kernel_sizes: kernels,
  resblock_dilation_sizes: kernels.map(() => [1, 3, 5]),
  stereo: true,
  use_tanh_at_final: false,
  activation: 'snakebeta',
  use_bias_at_final: false,
})

/** The mel of the bandwidth extension. */
export const bandwidthExtension = {
  input_sampling_rate: 16000,
  output_sampling_rate: 48000,
  hop_length: 80,
  n_fft: 512,
  win_size: 512,
  num_mels: 64,
}

export function checkpointConfig(size: BaseSize) {
  const width = size.heads * size.headDim
  return {
    transformer: {
      _class_name: 'AVTransformer3DModel',
      activation_fn: 'gelu-approximate',
      apply_gated_attention: true,
      attention_bias: true,
      attention_head_dim: size.headDim,
      attention_type: 'default',
      audio_attention_head_dim: size.headDim,
      audio_connector_attention_head_dim: size.headDim,
      audio_connector_num_attention_heads: size.heads,
      audio_cross_attention_dim: width,
      audio_num_attention_heads: size.heads,
      audio_out_channels: 128,
      audio_positional_embedding_max_pos: [20],
      av_ca_timestep_scale_multiplier: 1000,
      av_cross_ada_norm: true,
      caption_channels: size.gemma.hidden,
      caption_proj_before_connector: true,
      caption_proj_input_norm: false,
      caption_projection_first_linear: false,
      caption_projection_second_linear: false,
      causal_temporal_positioning: true,
      connector_apply_gated_attention: true,
      connector_attention_head_dim: size.headDim,
      connector_learnable_registers_std: 1,
      connector_norm_output: true,
      connector_num_attention_heads: size.heads,
      connector_num_layers: size.connectorBlocks,
      connector_num_learnable_registers: size.registers,
      connector_positional_embedding_max_pos: [4096],
      cross_attention_adaln: true,
      cross_attention_dim: width,
      cross_attention_norm: true,
      double_self_attention: false,
      dropout: 0,
      frequencies_precision: 'float64',
      in_channels: 128,
      norm_elementwise_affine: false,
      norm_eps: 1e-6,
      norm_num_groups: 32,
      num_attention_heads: size.heads,
      num_embeds_ada_norm: 1000,
      num_layers: size.transformerBlocks,
      num_vector_embeds: null,
      only_cross_attention: false,
      out_channels: 128,
      positional_embedding_max_pos: [20, 2048, 2048],
      positional_embedding_theta: 10000,
      positional_embedding_type: 'rope',
      qk_norm: 'rms_norm',
      rope_type: 'split',
      share_ff: false,
      standardization_norm: 'rms_norm',
      text_encoder_norm_type: 'per_token_rms',
      timestep_scale_multiplier: 1000,
      upcast_attention: false,
      use_audio_video_cross_attention: true,
      use_embeddings_connector: true,
      use_linear_projection: false,
      use_middle_indices_grid: true,
    },
    scheduler: {
      _class_name: 'RectifiedFlowScheduler',
      num_train_timesteps: 1000,
      shifting: null,
      base_resolution: null,
      sampler: 'LinearQuadratic',
    },
    audio_vae: {
      model: {
        params: {
          ddconfig: {
            double_z: true,
            mel_bins: 64,
            z_channels: 8,
            resolution: 256,
            downsample_time: false,
            in_channels: 2,
            out_ch: 2,
            ch: size.vaeWidth,
            ch_mult: [1, 2, 4],
            num_res_blocks: 2,
            attn_resolutions: [],
            dropout: 0,
            mid_block_add_attention: false,
            norm_type: 'pixel',
            causality_axis: 'height',
          },
          sampling_rate: 16000,
        },
      },
      preprocessing: {
        audio: { sampling_rate: 16000, max_wav_value: 32768, duration: 5.12, stereo: true, causal_padding: 3 },
        stft: { filter_length: 1024, hop_length: 160, win_length: 1024, causal: true },
        mel: { n_mel_channels: 64, mel_fmin: 0, mel_fmax: 8000 },
      },
    },
    ...(size.vocoder && { vocoder: vocoderConfig(size.vocoder) }),
  }
}

const vocoderConfig = (size: VocoderSize) => ({
  vocoder: {
    ...generatorConfig(size),
    upsample_initial_channel: size.width,
    upsample_rates: [5, 2, 2, 2, 2, 2],
    upsample_kernel_sizes: [11, 4, 4, 4, 4, 4],
  },
  bwe: {
    ...generatorConfig(size),
    upsample_initial_channel: size.bandwidthExtensionWidth,
    upsample_rates: [6, 5, 2, 2, 2],
    upsample_kernel_sizes: [12, 11, 4, 4, 4],
    apply_final_activation: false,
    ...bandwidthExtension,
  },
})

/** @param note describes the model. */
export const checkpointMetadata = (size: BaseSize, note: string) => ({
  config: JSON.stringify(checkpointConfig(size)),
  model_version: '2.3.0',
  note,
})

export const textEncoderConfig = ({ gemma }: BaseSize, vocabularySize: number) => ({
  architectures: ['Gemma3ForConditionalGeneration'],
  model_type: 'gemma3',
  bos_token_id: 2,
  eos_token_id: 1,
  pad_token_id: 0,
  torch_dtype: 'bfloat16',
  text_config: {
    model_type: 'gemma3_text',
    vocab_size: vocabularySize,
    hidden_size: gemma.hidden,
    intermediate_size: gemma.inner,
    num_hidden_layers: gemma.layers,
    num_attention_heads: gemma.heads,
    num_key_value_heads: gemma.keyValueHeads,
    head_dim: gemma.headDim,
    query_pre_attn_scalar: gemma.headDim,
    hidden_activation: 'gelu_pytorch_tanh',
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    rope_local_base_freq: 1e4,
    rope_scaling: { factor: 8, rope_type: 'linear' },
    sliding_window: 1024,
    sliding_window_pattern: 6,
    attention_bias: false,
  },
})
