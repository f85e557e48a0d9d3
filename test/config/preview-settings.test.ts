import { describe, expect, it } from 'vitest'
import { resolvePreviewSettings } from '../../src/config/settings.ts'
import type { Flags } from '../../src/config/values.ts'

const resolve = (flags: Flags) => resolvePreviewSettings({ flags: { reference: 'ref.wav', ...flags } })

describe('the settings of a preview', () => {
  it('have the documented defaults and leave undefined what the LoRA file specifies', () => {
    const settings = resolve({ lora: ['lora.safetensors'] })
    expect(settings).toMatchObject({
      reference: 'ref.wav',
      loras: [{ path: 'lora.safetensors', strength: 1 }],
      prompt: undefined,
      duration: undefined,
      seed: 42,
      steps: 30,
      cfg: 7,
      stgScale: 1,
      out: 'preview.wav',
      backend: 'auto',
      model: undefined,
      textEncoder: undefined,
    })
    expect(settings.normalizeReference).toBeUndefined()
    expect(settings.negativePrompt).toContain('garbled speech')
    expect(Object.isFrozen(settings)).toBe(true)
  })

  it('have a default negative prompt that works against no transformation of the sound', () => {
    const wanted =
      /clip|distort|crackl|hiss|hum\b|noise|room|echo|muffled|tinny|metallic|robot|pump|warbl|pitch|bitrate|compress/
    expect(resolve({}).negativePrompt).not.toMatch(wanted)
    expect(resolve({ negativePrompt: 'loud hiss' }).negativePrompt).toBe('loud hiss')
  })

  it.each<[Flags, boolean]>([
    [{ normalizeReference: false }, false], // --no-normalize-reference
    [{ normalizeReference: true }, true],
    [{ normalizeReference: 'false' }, false],
  ])('take the normalization of the reference from %j', (flags, expected) =>
    expect(resolve(flags).normalizeReference).toBe(expected),
  )

  it('contain no LoRA by default', () => expect(resolve({}).loras).toEqual([]))

  it('assign the strengths to the LoRAs in order', () => {
    expect(resolve({ lora: ['a', 'b, c', 'd'], loraStrength: ['0.5', '-1'] }).loras).toEqual([
      { path: 'a', strength: 0.5 },
      { path: 'b, c', strength: -1 },
      { path: 'd', strength: 1 },
    ])
  })

  it('distinguish an empty prompt from a missing one', () => expect(resolve({ prompt: '' }).prompt).toBe(''))

  it.each<[Flags, string]>([
    [{ reference: undefined }, 'reference is missing'],
    [{ loraStrength: ['1'] }, '1 --lora-strength but 0 --lora were given'],
    [{ lora: ['a'], loraStrength: ['strong'] }, '--lora-strength must be a number from -10 to 10, not "strong"'],
    [{ lora: [''] }, '--lora must be a path that is not empty, not ""'],
    [{ steps: '0' }, 'steps must be a whole number from 1 to 1000, not 0'],
    [{ cfg: '0.5' }, 'cfg must be a number from 1 to 30, not 0.5'],
    [{ stgScale: '10.1' }, 'stg_scale must be a number from 0 to 10, not 10.1'],
    [{ duration: '0.09' }, 'duration must be a number from 0.1 to 60, not 0.09'],
    [{ seed: '1.5' }, 'seed must be a whole number from 0 to 4294967295, not 1.5'],
    [{ backend: 'cuda' }, 'backend must be one of auto, tensorflow, webgpu, wasm, cpu, not "cuda"'],
  ])('are refused for %j', (flags, message) => expect(() => resolve(flags)).toThrow(message))
})
