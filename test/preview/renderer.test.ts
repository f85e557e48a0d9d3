import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apply } from '../../src/apply/apply.ts'
import type { Mel } from '../../src/audio/mel.ts'
import { concatenateWaveforms, peak, sampleCount, type Waveform } from '../../src/audio/waveform.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { isFingerprintOf, openBase } from '../../src/model/base-model.ts'
import type { ProgressEvent } from '../../src/platform/progress.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { preview } from '../../src/preview/preview.ts'
import { openRenderer, type Renderer } from '../../src/preview/renderer.ts'
import { writeWav } from '../audio/signals.ts'
import { inFolder } from '../cli/bin.ts'
import { configOf, copyCheckpoint, leaveOutVocoder } from '../fixtures/checkpoint-copy.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-renderer-'))
const whole = openBase()
const textEncoder = whole.textEncoder as string
const reference = join(folder, 'reference.wav')

/** The base of the tests without its vocoder. @param hasSection whether the config still describes one. */
function withoutVocoder(name: string, hasSection: boolean): string {
  const { vocoder, ...config } = configOf(whole.checkpoint)
  const path = join(folder, name)
  copyCheckpoint(whole.checkpoint, path, {
    tensor: leaveOutVocoder,
    config: hasSection ? { ...config, vocoder } : config,
  })
  return path
}

const small = { prompt: '', duration: 0.5, steps: 1, cfg: 1, stgScale: 0, backend: 'wasm' } as const
const inTests = <T>(work: () => Promise<T>) => inFolder({ env: { LTX_A2A_CACHE: join(folder, 'cache') } }, work)

let model: string
beforeAll(async () => {
  await startBackend('wasm')
  model = withoutVocoder('silent.safetensors', true)
  const samples = normals(randomFor(1, 'noise'), 8000).map((value) => value / 10)
  writeWav(reference, { sampleRate: 16_000, channels: [samples] })
})
afterAll(() => rmSync(folder, { recursive: true }))

describe.each(['vocoder', 'griffin-lim'] as const)('%s', (choice) => {
  const frames = 1100 // more than a piece
  const mel = {
    ...{ channels: 2, frames, melBins: 64 },
    data: normals(randomFor(1, 'mel'), 2 * frames * 64).map((value) => value - 6),
  }

  async function inPieces(renderer: Renderer, mel: Mel): Promise<Waveform> {
    const pieces: Waveform[] = []
    for await (const piece of renderer.renderInPieces(mel)) pieces.push(piece)
    return concatenateWaveforms(pieces)
  }

  it('makes 480 samples per mel frame at 48 kHz, whole and in pieces', async () => {
    const renderer = openRenderer(whole, choice)
    const loud = { ...mel, frames: 100, data: mel.data.slice(0, 2 * 100 * 64).map((value) => value + 8) }
    const sound = await renderer.render(loud)
    expect(renderer.name).toBe(choice)
    expect(sound.sampleRate).toBe(48_000)
    expect(sound.channels.map((channel) => channel.length)).toEqual([48_000, 48_000])
    if (choice === 'griffin-lim') expect(sampleCount(await inPieces(renderer, mel))).toBe(480 * frames)
    // phase reconstruction is not clipped here: those who use it count the samples above full scale
    if (choice === 'griffin-lim') expect(peak(sound)).toBeGreaterThan(1.1)
    else expect(peak(sound)).toBeLessThanOrEqual(1)
    const stop = () => {
      throw new Error('stopped')
    }
    await expect(renderer.renderInPieces(loud, stop).next()).rejects.toThrow('stopped')
    renderer.close()
  })
})

describe('a base without a vocoder', () => {
  async function previewWith(options: { renderer?: 'auto' | 'vocoder' | 'griffin-lim'; model?: string }) {
    const messages: string[] = []
    const onEvent = (event: ProgressEvent) => void ('message' in event && messages.push(event.message))
    const base = options.model === undefined ? {} : { textEncoder }
    const { waveform } = await inTests(() => preview({ ...small, ...base, reference, ...options }, { onEvent }))
    return { waveform, messages }
  }
  const said = (messages: string[]) => messages.filter((message) => message.startsWith('Renderer'))

  it('is heard through phase reconstruction, and this is said', async () => {
    const { waveform, messages } = await previewWith({ model })
    expect(said(messages)).toEqual([`Renderer: griffin-lim, because ${model} has no vocoder; nothing above 8 kHz`])
    expectSound(waveform)
  })

  it('sounds as the whole base does with --renderer griffin-lim, which is not what its vocoder makes', async () => {
    const { waveform: split } = await previewWith({ model })
    const { waveform: chosen, messages } = await previewWith({ renderer: 'griffin-lim' })
    const { waveform: vocoded } = await previewWith({})
    expect(said(messages)).toEqual(['Renderer: griffin-lim; nothing above 8 kHz'])
    expect(chosen).toEqual(split)
    expectSound(vocoded)
    expect(vocoded).not.toEqual(chosen)
  })

  it('refuses --renderer vocoder', async () => {
    await expect(previewWith({ model, renderer: 'vocoder' })).rejects.toThrow(`${model} has no vocoder`)
    const out = join(folder, 'refused')
    const work = apply({ in: reference, out, model, textEncoder, renderer: 'vocoder', backend: 'wasm' })
    await expect(work).rejects.toThrow(`${model} has no vocoder`)
    expect(existsSync(out)).toBe(false)
  })

  it('transforms whole recordings, and replaces a result of another renderer', async () => {
    const statuses: string[] = []
    const transform = (renderer: 'auto' | 'griffin-lim') =>
      inTests(() =>
        apply(
          {
            ...{ in: reference, out: join(folder, 'applied.wav'), steps: 1, cfg: 1, stgScale: 0 },
            renderer,
            backend: 'wasm',
          },
          { onEvent: (event) => void (event.type === 'recording' && statuses.push(event.status)) },
        ),
      )
    await transform('auto')
    await transform('auto')
    await transform('griffin-lim')
    await transform('griffin-lim')
    expect(statuses).toEqual(['written', 'kept', 'written', 'kept'])
  })

  it('is the base of a LoRA that was trained on it, with a vocoder, too', () => {
    const split = openBase({ model, textEncoder })
    expect(split.fingerprint).not.toBe(whole.fingerprint)
    expect(isFingerprintOf(whole, split.fingerprint)).toBe(true)
    expect(isFingerprintOf(split, whole.fingerprint)).toBe(false) // nothing of the vocoder is known
    expect(isFingerprintOf(whole, '0123456789abcdef')).toBe(false)
    split.close()
  })

  it('needs no section in the config, but a vocoder does', () => {
    const bare = openBase({ model: withoutVocoder('bare.safetensors', false), textEncoder })
    expect(bare.config.vocoder).toBeUndefined()
    bare.close()
    const undescribed = join(folder, 'undescribed.safetensors')
    const { vocoder: _, ...config } = configOf(whole.checkpoint)
    copyCheckpoint(whole.checkpoint, undescribed, { config })
    expect(() => openBase({ model: undescribed, textEncoder })).toThrow(
      'undescribed.safetensors has a vocoder, but the model config does not describe it',
    )
  })
})

function expectSound({ sampleRate, channels }: Waveform) {
  expect(sampleRate).toBe(48_000)
  expect(channels.map((channel) => channel.length)).toEqual([24_000, 24_000])
  for (const channel of channels) {
    expect(channel.every(Number.isFinite)).toBe(true)
    expect(Math.max(...channel)).toBeGreaterThan(0.01)
  }
}
