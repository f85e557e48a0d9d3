"""A miniature Gemma 4 with random weights, packed like the released text encoder: the same names, dtypes and metadata."""
import json

import numpy as np

from .captions import PLACEHOLDER, TOKENS, tokenizer_json

SLIDING, FULL = 'sliding_attention', 'full_attention'
LOUD = 1000
"""Scale of the tensors that must not be used."""
PROJECTION_WIDTH = {'audio': 64, 'video': 24}

TEXT_CONFIG = {
    'model_type': 'gemma4_unified_text',
    'vocab_size': len(TOKENS),
    'hidden_size': 40,
    'intermediate_size': 80,
    'num_hidden_layers': 9,
    'num_attention_heads': 6,
    'num_key_value_heads': 3,
    'num_global_key_value_heads': 2,
    'head_dim': 8,
    'global_head_dim': 16,
    'hidden_activation': 'gelu_pytorch_tanh',
    'max_position_embeddings': 262144,
    'rms_norm_eps': 1e-6,
    'tie_word_embeddings': True,
    'attention_bias': False,
    'attention_dropout': 0.0,
    'attention_k_eq_v': True,
    'sliding_window': 16,
    'layer_types': [FULL if i in (2, 5, 8) else SLIDING for i in range(9)],
    'final_logit_softcapping': 30.0,
    'use_bidirectional_attention': 'vision',
    'hidden_size_per_layer_input': 0,
    'num_kv_shared_layers': 0,
    'use_double_wide_mlp': False,
    'bos_token_id': TOKENS.index('<bos>'),
    'eos_token_id': TOKENS.index('<eos>'),
    'pad_token_id': TOKENS.index('<pad>'),
    'rope_parameters': {
        SLIDING: {'rope_type': 'default', 'rope_theta': 2000.0},
        FULL: {'rope_type': 'proportional', 'partial_rotary_factor': 0.45, 'rope_theta': 50000.0},
    },
}

GEMMA_CONFIG = {
    'architectures': ['Gemma4UnifiedForConditionalGeneration'],
    'model_type': 'gemma4_unified',
    'gemma_version': 'gemma4-tiny-test',
    'dtype': 'bfloat16',
    'tie_word_embeddings': True,
    **dict.fromkeys(
        ['image_token_id', 'audio_token_id', 'video_token_id']
        + ['boi_token_id', 'eoi_token_id', 'boa_token_id', 'eoa_token_index'],
        TOKENS.index(PLACEHOLDER),
    ),
    'text_config': TEXT_CONFIG,
    'vision_config': {
        'model_type': 'gemma4_unified_vision',
        'patch_size': 2,
        'pooling_kernel_size': 2,
        'mm_embed_dim': 40,
        'mm_posemb_size': 4,
        'output_proj_dims': 40,
        'rms_norm_eps': 1e-6,
    },
    'audio_config': {'model_type': 'gemma4_unified_audio', 'audio_embed_dim': 8, 'rms_norm_eps': 1e-6},
}

TOKENIZER_CONFIG = {
    'tokenizer_class': 'GemmaTokenizer',
    'bos_token': '<bos>',
    'eos_token': '<eos>',
    'pad_token': '<pad>',
    'unk_token': '<unk>',
    'clean_up_tokenization_spaces': False,
    'padding_side': 'right',
}

LAYER_SCALARS = [0.05, 0.4, 0.8, 1.2, 0.6, 0.36, 1.05, 0.25, 0.7]


def packed_text_encoder() -> tuple[dict, dict[str, str]]:
    """The tensors of the file, each with its dtype, and its metadata."""
    rng = np.random.Generator(np.random.PCG64(20250))
    floats = {f'model.{name}': array for name, array in _tower(rng).items()}
    states = TEXT_CONFIG['hidden_size'] * (TEXT_CONFIG['num_hidden_layers'] + 1)
    for kind, width in PROJECTION_WIDTH.items():
        loudness = LOUD if kind == 'video' else 1
        floats[f'text_embedding_projection.{kind}_aggregate_embed.weight'] = loudness * _linear(rng, width, states)
        floats[f'text_embedding_projection.{kind}_aggregate_embed.bias'] = loudness * rng.normal(0, 0.2, width)
    floats |= {name: LOUD * rng.normal(size=shape) for name, shape in _unused_shapes().items()}
    texts = {
        'tokenizer_json': tokenizer_json(),
        'hf_asset__tokenizer_config.json': json.dumps(TOKENIZER_CONFIG),
        'hf_asset__processor_config.json': json.dumps({'processor_class': 'Gemma4UnifiedProcessor'}),
    }
    tensors = {name: ('BF16', array) for name, array in floats.items()}
    tensors |= {name: ('U8', np.frombuffer(text.encode(), dtype=np.uint8)) for name, text in texts.items()}
    return tensors, {'format': 'pt', 'gemma_config': json.dumps(GEMMA_CONFIG)}


def _tower(rng) -> dict[str, np.ndarray]:
    """Scales as in the released model: some large and negative norm weights, small key norms, a loud final norm."""
    c = TEXT_CONFIG
    hidden, inner, heads = c['hidden_size'], c['intermediate_size'], c['num_attention_heads']
    tensors = {
        'embed_tokens.weight': rng.normal(0, 0.16, (c['vocab_size'], hidden)),
        'norm.weight': _gains(rng, hidden, 6, 8),
    }
    for i, kind in enumerate(c['layer_types']):
        width = c['global_head_dim' if kind == FULL else 'head_dim']
        keys = width * c['num_global_key_value_heads' if kind == FULL else 'num_key_value_heads']
        layer = {
            'input_layernorm.weight': _gains(rng, hidden, 1, 12),
            'post_attention_layernorm.weight': _gains(rng, hidden, 0.7, 4),
            'pre_feedforward_layernorm.weight': _gains(rng, hidden, 1, 12),
            'post_feedforward_layernorm.weight': _gains(rng, hidden, 0.6, 4),
            'layer_scalar': np.array([LAYER_SCALARS[i]]),
            'self_attn.q_proj.weight': _linear(rng, heads * width, hidden),
            'self_attn.k_proj.weight': _linear(rng, keys, hidden),
            'self_attn.o_proj.weight': _linear(rng, hidden, heads * width),
            'self_attn.q_norm.weight': rng.normal(1.02, 0.1, width),
            'self_attn.k_norm.weight': rng.normal(0.3 if kind == FULL else 0.45, 0.12, width),
            'mlp.gate_proj.weight': _linear(rng, inner, hidden),
            'mlp.up_proj.weight': _linear(rng, inner, hidden),
            'mlp.down_proj.weight': _linear(rng, hidden, inner),
        }
        if kind == SLIDING:
            layer['self_attn.v_proj.weight'] = _linear(rng, keys, hidden)
        tensors |= {f'layers.{i}.{name}': array for name, array in layer.items()}
    return tensors


def _linear(rng, outputs, inputs):
    return rng.normal(0, inputs**-0.5, (outputs, inputs))


def _gains(rng, width, centre, loudness):
    """Norm weights around a centre; one in ten is several times as large, with either sign."""
    gains = rng.normal(centre, 0.25 * centre, width)
    loud = rng.choice(width, width // 10, replace=False)
    gains[loud] *= loudness * rng.uniform(0.3, 1, loud.size) * rng.choice([-1, 1], loud.size)
    return gains


def _unused_shapes() -> dict[str, tuple[int, ...]]:
    hidden, vision, audio = TEXT_CONFIG['hidden_size'], GEMMA_CONFIG['vision_config'], GEMMA_CONFIG['audio_config']
    patch = (vision['patch_size'] * vision['pooling_kernel_size']) ** 2 * 3
    return {
        'vision_model.patch_ln1.weight': (patch,),
        'vision_model.patch_ln1.bias': (patch,),
        'vision_model.patch_dense.weight': (hidden, patch),
        'vision_model.patch_dense.bias': (hidden,),
        'vision_model.patch_ln2.weight': (hidden,),
        'vision_model.patch_ln2.bias': (hidden,),
        'vision_model.pos_embedding': (vision['mm_posemb_size'], 2, hidden),
        'vision_model.pos_norm.weight': (hidden,),
        'vision_model.pos_norm.bias': (hidden,),
        'multi_modal_projector.embedding_projection.weight': (hidden, hidden),
        'audio_projector.embedding_projection.weight': (hidden, audio['audio_embed_dim']),
    }
