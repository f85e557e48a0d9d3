import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PreviewOptions } from '../../src/config/settings.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { openBase } from '../../src/model/base-model.ts'
import { type LoraModule, writeLora } from '../../src/model/lora-file.ts'
import { UserError } from '../../src/platform/errors.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { preview } from '../../src/preview/preview.ts'
import { renderLatents } from '../../src/preview/render.ts'
import { writeWav } from '../audio/signals.ts'
import { inFolder } from '../cli/bin.ts'
import { copyCheckpoint } from '../fixtures/checkpoint-copy.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-preview-'))
const reference = join(folder, 'quiet.wav')
const layer = 'transformer_blocks.0.audio_attn1.to_q'
const { transformer } = openBase().components
const [outputs = 0, inputs = 0] = transformer.shape(`${layer}.weight`)

beforeAll(() => {
  const samples = normals(randomFor(1, 'quiet'), 8000).map((value) => value / 400)
  writeWav(reference, { sampleRate: 16_000, channels: [samples] })
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A LoRA of rank 1 for the named layers, with strong factors for the layers of the audio stream. */
function newLora(name: string, metadata: Record<string, string>, layers = [layer]) {
  const path = join(folder, `${name}.safetensors`)
  const module = (): LoraModule => ({
    ...{ rank: 1, inputs, outputs },
    ...{ a: new Float32Array(inputs).fill(0.3), b: new Float32Array(outputs).fill(0.3) },
  })
  writeLora(path, { modules: new Map(layers.map((layer) => [layer, module()])), metadata })
  return path
}

/** The samples of a short preview, the warnings, and their hints. */
async function previewOf(options: Partial<PreviewOptions>) {
  const warnings: string[] = []
  const hints: string[] = []
  const small = { reference, prompt: 'x', duration: 0.5, steps: 1, cfg: 1, stgScale: 0, backend: 'wasm' } as const
  const { waveform } = await inFolder({ env: { LTX_A2A_CACHE: join(folder, 'cache') } }, () =>
    preview(
      { ...small, ...options },
      {
        onEvent: (event) => {
          if (event.type !== 'warning') return
          warnings.push(event.message)
          if (event.hint !== undefined) hints.push(event.hint)
        },
      },
    ),
  )
  return { samples: waveform.channels[0], warnings, hints }
}

describe('the reference of a preview', () => {
  const named = { trigger_phrase: 'x' }
  const unknown = newLora('unknown', { format: 'pt' })

  it('is normalized where the LoRA has lost its metadata, with a warning that names the flag', async () => {
    const assumed = await previewOf({ lora: unknown })
    expect(assumed.warnings).toEqual([
      `${unknown} has no metadata about its training: the peak of the reference is normalized, the default of training (off: --no-normalize-reference)`,
    ])
    const normalized = await previewOf({ lora: unknown, normalizeReference: true })
    expect(normalized).toEqual({ samples: assumed.samples, warnings: [], hints: [] })
    const asRecorded = await previewOf({ lora: unknown, normalizeReference: false })
    expect(asRecorded.samples).not.toEqual(assumed.samples)
    expect(asRecorded.warnings).toEqual([])
  })

  it('is normalized as the metadata says, unless the option says otherwise', async () => {
    const raw = newLora('raw', { ...named, audio_normalize: 'false' })
    const fitted = newLora('fitted', { ...named, audio_normalize: 'true' })
    const [off, on] = [await previewOf({ lora: raw }), await previewOf({ lora: fitted })]
    expect([off.warnings, on.warnings]).toEqual([[], []])
    expect(off.samples).not.toEqual(on.samples)
    expect((await previewOf({ lora: raw, normalizeReference: true })).samples).toEqual(on.samples)
    expect((await previewOf({ lora: fitted, normalizeReference: false })).samples).toEqual(off.samples)
  })

  it('gets an empty prompt where the trigger phrase is unknown, with a warning', async () => {
    const { warnings } = await previewOf({ lora: unknown, prompt: undefined, normalizeReference: true })
    expect(warnings).toEqual([expect.stringContaining('the prompt is empty (--prompt <trigger phrase>)')])
  })
})

describe('a LoRA that was trained with captions', () => {
  const metadata = { trigger_phrase: '', example_caption: 'a "bell", through a radio', audio_normalize: 'true' }
  const captioned = newLora('captioned', metadata)
  const plain = newLora('plain', { trigger_phrase: '', audio_normalize: 'true' })
  const warning = `${captioned} was trained with captions, but the prompt is empty`

  it('has a warning without a prompt, with a caption as an example', async () => {
    const { warnings, hints } = await previewOf({ lora: [plain, captioned, captioned], prompt: undefined })
    expect(warnings).toEqual([warning])
    expect(hints).toEqual(['add --prompt with a caption as in training, for example "a \\"bell\\", through a radio"'])
  })

  it.each(['', 'a voice'])('has none with the prompt %j', async (prompt) => {
    expect((await previewOf({ lora: captioned, prompt })).warnings).toEqual([])
  })

  it('has none with a trigger phrase, which becomes the prompt', async () => {
    const lora = newLora('triggered', { ...metadata, trigger_phrase: 'n0ise' })
    expect((await previewOf({ lora, prompt: undefined })).warnings).toEqual([])
  })

  it('has none where the metadata names no caption, as those of earlier versions', async () => {
    expect((await previewOf({ lora: plain, prompt: undefined })).warnings).toEqual([])
  })
})

it('a LoRA for audio and video is used without its video layers, which are counted in a warning', async () => {
  const metadata = { trigger_phrase: 'x', audio_normalize: 'true' }
  const audio = await previewOf({ lora: newLora('audio', metadata) })
  const video = ['transformer_blocks.0.attn1.to_q', 'transformer_blocks.1.audio_to_video_attn.to_k']
  const both = await previewOf({ lora: newLora('both', metadata, [layer, ...video]) })
  expect(both.samples).toEqual(audio.samples)
  expect(both.samples).not.toEqual((await previewOf({})).samples)
  expect(both.warnings).toEqual([
    expect.stringContaining('adapts 2 layers of the video stream, such as transformer_blocks.0.attn1.to_q: ignored'),
  ])
})

it('a LoRA that does not fit is refused before the reference is read', async () => {
  const lora = newLora('deep', {}, ['transformer_blocks.99.audio_attn1.to_q'])
  await expect(previewOf({ lora, reference: join(folder, 'missing.wav') })).rejects.toThrow(
    'which this base does not have',
  )
})

it('what a broken vocoder computes never becomes sound', async () => {
  await startBackend('wasm')
  const base = openBase()
  const broken = join(folder, 'broken.safetensors')
  copyCheckpoint(base.checkpoint, broken, {
    tensor: (name, stored) =>
      name === 'vocoder.vocoder.conv_pre.weight'
        ? { ...stored, bytes: new Uint8Array(stored.bytes.length).fill(255) }
        : stored,
  })
  const rendering = renderLatents(
    openBase({ model: broken, textEncoder: base.textEncoder }),
    { shape: [4, 128], values: new Float32Array(512) },
    'vocoder',
  )
  await expect(rendering).rejects.toThrow('a waveform with values that are not finite')
})

it.each([Number.NaN, Number.POSITIVE_INFINITY])('latents of %d never become sound', async (value) => {
  await startBackend('wasm')
  const values = new Float32Array(4 * 128)
  values[200] = value
  const rendering = renderLatents(openBase(), { shape: [4, 128], values }, 'auto')
  await expect(rendering).rejects.toThrow(UserError)
  await expect(rendering).rejects.toThrow('latents with values that are not finite')
})
