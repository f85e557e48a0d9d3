import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readGemmaConfig } from '../../../src/model/text/gemma-folder.ts'
import { UserError } from '../../../src/platform/errors.ts'

const read = (config: object) => {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-gemma-config-'))
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  return readGemmaConfig(folder)
}

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
    expect(read({ model_type: 'gemma3', text_config: released })).toEqual({
      hiddenSize: 3840,
      layers: Array.from({ length: 48 }, (_, i) => (i % 6 === 5 ? 'full_attention' : 'sliding_attention')),
      heads: 16,
      keyValueHeads: 8,
      headDim: 256,
      normEpsilon: 1e-6,
      scoreScale: 1 / 16,
      slidingWindow: 1024,
      rope: { sliding_attention: { theta: 1e4, factor: 1 }, full_attention: { theta: 1e6, factor: 8 } },
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

  it('is refused when it is not that of a Gemma 3 model', () => {
    expect(() => read({ model_type: 'llama', hidden_size: 4096 })).toThrow(UserError)
    expect(() => read({ ...released, hidden_size: undefined })).toThrow(/config\.json.*hidden_size/)
    expect(() => read({ ...released, attn_logit_softcapping: 50 })).toThrow(/attn_logit_softcapping/)
  })
})
