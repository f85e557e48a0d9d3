import { describe, expect, it } from 'vitest'
import type { LoraModule } from '../../src/model/lora-file.ts'
import { fitLora } from '../../src/model/lora-fit.ts'
import { UserError } from '../../src/platform/errors.ts'

const attention = 'transformer_blocks.0.audio_attn1.to_q'
const feedForward = 'transformer_blocks.1.audio_ff.net.0.proj'

/** A base of two blocks with the width 4. */
const baseShape = (layer: string) =>
  /^transformer_blocks\.[01]\./.test(layer) ? (layer.includes('net.0') ? [16, 4] : [4, 4]) : undefined

const factors = (outputs: number, inputs: number): LoraModule => ({
  ...{ rank: 2, inputs, outputs },
  ...{ a: new Float32Array(2 * inputs), b: new Float32Array(outputs * 2) },
})

const fit = (layers: Record<string, LoraModule>) =>
  fitLora({ path: 'runs/x/lora.safetensors', modules: new Map(Object.entries(layers)) }, baseShape)

function refusalOf(layers: Record<string, LoraModule>): UserError {
  try {
    fit(layers)
  } catch (error) {
    if (error instanceof UserError) return error
    throw error
  }
  throw new Error('the LoRA was accepted')
}

describe('the layers of a LoRA', () => {
  it('are used where they are those of the audio stream', () => {
    const { modules, videoLayers } = fit({ [attention]: factors(4, 4), [feedForward]: factors(16, 4) })
    expect([...modules.keys()]).toEqual([attention, feedForward])
    expect(videoLayers).toEqual([])
  })

  it('are separated from those of the video stream, whatever their widths', () => {
    const video = [
      'transformer_blocks.0.attn1.to_q',
      'transformer_blocks.0.audio_to_video_attn.to_k',
      'transformer_blocks.0.video_to_audio_attn.to_out.0',
      'transformer_blocks.9.ff.net.2',
      'patchify_proj',
      'adaln_single.linear',
      'video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q',
      'av_ca_audio_scale_shift_adaln_single.linear',
    ]
    const others = Object.fromEntries(video.map((layer) => [layer, factors(8, 8)]))
    const { modules, videoLayers } = fit({ ...others, [attention]: factors(4, 4) })
    expect([...modules.keys()]).toEqual([attention])
    expect(videoLayers).toEqual(video)
  })

  it('are refused where there is only video', () => {
    const { message, hint } = refusalOf({ 'transformer_blocks.0.attn1.to_q': factors(8, 8) })
    expect(message).toContain('it adapts no layer of the audio stream, only 1 of the video stream')
    expect(hint).toMatch(/trained on pairs of recordings/)
  })

  it.each([
    'transformer_blocks.0.audio_attn1.to_gate_logits',
    'audio_patchify_proj',
    'audio_adaln_single.linear',
    'audio_embeddings_connector.transformer_1d_blocks.0.attn1.to_q',
  ])('are refused where %s would be ignored without being heard', (layer) => {
    const { message, hint } = refusalOf({ [attention]: factors(4, 4), [layer]: factors(4, 4) })
    expect(message).toContain(`it also adapts ${layer}, a layer of the audio path that ltx-a2a does not adapt`)
    expect(hint).toMatch(/the ten layers per block/)
  })

  it('are refused where another component is adapted as well', () => {
    const layer = 'text_encoder.layers.0.self_attn.q_proj'
    expect(refusalOf({ [attention]: factors(4, 4), [layer]: factors(4, 4) }).message).toContain(
      `it also adapts ${layer}`,
    )
  })

  it('are refused where the base has fewer blocks or other widths, with the advice to choose another base', () => {
    const deep = refusalOf({ [attention]: factors(4, 4), 'transformer_blocks.2.audio_attn1.to_q': factors(4, 4) })
    expect(deep.message).toBe(
      'runs/x/lora.safetensors does not fit this base model: it adapts transformer_blocks.2.audio_attn1.to_q, which this base does not have',
    )
    const wide = refusalOf({ [attention]: factors(8, 8) })
    expect(wide.message).toContain(`${attention} is [8, 8] there and [4, 4] in this base`)
    for (const { hint } of [deep, wide]) expect(hint).toBe('choose the base it was trained on with --model')
  })
})
