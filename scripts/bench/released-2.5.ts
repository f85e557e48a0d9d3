/** The metadata of the released files of LTX-2.5, as far as they are read. */
import type { Metadata } from '../../src/formats/safetensors-header.ts'
import { releasedConfig } from './released.ts'

/** The config of the text encoder. */
export const releasedGemma4 = {
  model_type: 'gemma4_unified',
  gemma_version: 'gemma4-12b-ltx-v1',
  text_config: {
    model_type: 'gemma4_unified_text',
    hidden_size: 3840,
    num_hidden_layers: 48,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    num_global_key_value_heads: 1,
    head_dim: 256,
    global_head_dim: 512,
    attention_k_eq_v: true,
    sliding_window: 1024,
    layer_types: Array.from({ length: 48 }, (_, i) => (i % 6 === 5 ? 'full_attention' : 'sliding_attention')),
    use_bidirectional_attention: 'vision',
    final_logit_softcapping: 30,
    rope_parameters: {
      sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
      full_attention: { rope_type: 'proportional', partial_rotary_factor: 0.25, rope_theta: 1_000_000 },
    },
  },
}

const { transformer, ...sound } = releasedConfig

export const released25: Record<'transformer' | 'audioVae' | 'textEncoder', Metadata> = {
  transformer: {
    config: JSON.stringify({
      transformer: { ...transformer, ff_bias: false, text_encoder_norm_type: 'PER_TOKEN_RMS' },
    }),
    model_version: '2.5.0',
    gemma_source_checkpoint: JSON.stringify({ ltx_version: '2.5.0', gemma_version: releasedGemma4.gemma_version }),
  },
  audioVae: { config: JSON.stringify(sound), model_version: '2.5.0' },
  textEncoder: { format: 'pt', gemma_config: JSON.stringify(releasedGemma4) },
}
