import { describe, expect, it } from 'vitest'
import { releasedGemma4 } from '../../../scripts/bench/released-2.5.ts'
import { parseGemmaConfig } from '../../../src/model/text/gemma-config.ts'
import { UserError } from '../../../src/platform/errors.ts'

const read = (config: object) => parseGemmaConfig(config, 'config.json in gemma')

/** The config of the released 12B model, which relies on the defaults of the format for the rest. */
const released = {
  model_type: 'gemma3_text',
  hidden_size: 3840,
  num_hidden_layers: 48,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  rope_scaling: { factor: 8, rope_type: 'linear' },
  sliding_window: 1024,
}

describe('the config of a text encoder', () => {
  it('has the defaults of the format', () => {
    const heads = { headDim: 256, keyValueHeads: 8, sharesKeyAndValue: false }
    expect(read({ model_type: 'gemma3', text_config: released })).toEqual({
      generation: 3,
      hiddenSize: 3840,
      layers: Array.from({ length: 48 }, (_, i) => (i % 6 === 5 ? 'full_attention' : 'sliding_attention')),
      heads: 16,
      attention: {
        sliding_attention: { ...heads, window: 1024, rope: { theta: 1e4, factor: 1, rotatedPairs: 128 } },
        full_attention: { ...heads, window: Infinity, rope: { theta: 1e6, factor: 8, rotatedPairs: 128 } },
      },
      scoreScale: 1 / 16,
      normEpsilon: 1e-6,
      normOffset: 1,
      normalizesValues: false,
      scalesLayers: false,
    })
  })

  it('can be flat', () => expect(read(released)).toEqual(read({ model_type: 'gemma3', text_config: released })))

  it('can list the layer types and RoPE parameters individually', () => {
    const { rope_scaling: _, ...rest } = released
    const newer = {
      ...rest,
      layer_types: Array.from({ length: 48 }, (_, i) => ((i + 1) % 6 ? 'sliding_attention' : 'full_attention')),
      rope_parameters: {
        sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
        full_attention: { rope_type: 'linear', rope_theta: 1e6, factor: 8 },
      },
    }
    expect(read(newer)).toEqual(read(released))
  })

  it('is refused when it is not that of a Gemma 3 or Gemma 4', () => {
    expect(() => read({ model_type: 'llama', hidden_size: 4096 })).toThrow(UserError)
    expect(() => read({ ...released, hidden_size: undefined })).toThrow(/config\.json.*hidden_size/)
    expect(() => read({ ...released, attn_logit_softcapping: 50 })).toThrow(/attn_logit_softcapping/)
  })
})

const { text_config: released4 } = releasedGemma4

describe('the config of a Gemma 4', () => {
  it('has other heads in full layers, whose values are the keys', () => {
    expect(read(releasedGemma4)).toEqual({
      generation: 4,
      version: 'gemma4-12b-ltx-v1',
      hiddenSize: 3840,
      layers: released4.layer_types,
      heads: 16,
      attention: {
        sliding_attention: {
          headDim: 256,
          keyValueHeads: 8,
          window: 1024,
          sharesKeyAndValue: false,
          rope: { theta: 1e4, factor: 1, rotatedPairs: 128 },
        },
        full_attention: {
          headDim: 512,
          keyValueHeads: 1,
          window: Infinity,
          sharesKeyAndValue: true,
          rope: { theta: 1e6, factor: 1, rotatedPairs: 64 },
        },
      },
      scoreScale: 1,
      normEpsilon: 1e-6,
      normOffset: 0,
      normalizesValues: true,
      scalesLayers: true,
    })
  })

  it.each([
    ['the layer types', { layer_types: null }],
    [
      'the kind of the last layer',
      {
        layer_types: Array.from({ length: 48 }, (_, i) =>
          (i + 1) % 6 || i === 47 ? 'sliding_attention' : 'full_attention',
        ),
      },
    ],
    ['the width of full heads, which is 512', { global_head_dim: undefined }],
  ])('has the defaults of the library for %s', (_, change) => {
    expect(read({ ...releasedGemma4, text_config: { ...released4, ...change } })).toEqual(read(releasedGemma4))
  })

  it('uses the heads of sliding layers where none are given for full ones', () => {
    const { full_attention: full } = read({
      ...released4,
      num_global_key_value_heads: null,
      global_head_dim: null,
    }).attention
    expect(full).toMatchObject({ headDim: 256, keyValueHeads: 8, sharesKeyAndValue: true })
    expect(read({ ...released4, attention_k_eq_v: false }).attention.full_attention).toMatchObject({
      keyValueHeads: 8,
      sharesKeyAndValue: false,
    })
  })

  it.each([
    ['hidden_size_per_layer_input', 256],
    ['num_kv_shared_layers', 20],
    ['use_double_wide_mlp', true],
    ['enable_moe_block', true],
    ['use_bidirectional_attention', 'all'],
    ['attention_bias', true],
  ])('is refused with %s = %s, which the tower of LTX-2.5 does not have', (key, value) => {
    expect(() => read({ ...released4, [key]: value })).toThrow(new RegExp(`config\\.json in gemma .*: ${key}`))
  })

  it('is refused when it lists the kinds of fewer layers', () => {
    expect(() => read({ ...released4, layer_types: released4.layer_types.slice(1) })).toThrow(
      'has 48 layers, but the kinds of 47',
    )
  })
})
