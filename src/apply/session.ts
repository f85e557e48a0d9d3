/** The loaded model, for any number of recordings of any length. */
import { basename } from 'node:path'
import { logMelFrames } from '../audio/mel.ts'
import { padWithSilence, sampleCount, type Waveform } from '../audio/waveform.ts'
import type { ApplySettings } from '../config/settings.ts'
import { guidanceRescale, openSampler } from '../diffusion/sampler.ts'
import { sampleWindows, windowOffsets, windowPasses } from '../diffusion/windows.ts'
import { openCache } from '../encode/cache.ts'
import { encodeTexts } from '../encode/captions.ts'
import { leaseBackend } from '../engine/backend.ts'
import type { HostMatrix } from '../engine/device-tensors.ts'
import { disposeAudioVae, loadAudioVae } from '../model/audio-vae/audio-vae.ts'
import { clipLatentFrames, coveringLatentFrames } from '../model/audio-vae/latents.ts'
import { decodeInPieces, encodeInPieces } from '../model/audio-vae/pieces.ts'
import { type BaseModel, describeBase } from '../model/base-model.ts'
import { melOptionsOf } from '../model/config.ts'
import { attachSavedLoras, detachLora } from '../model/lora.ts'
import { disposeTransformer } from '../model/transformer/transformer.ts'
import type { Reporter } from '../platform/progress.ts'
import { normals, randomFor } from '../platform/random.ts'
import { countText } from '../platform/text.ts'
import { adviseGuidance, loadModel } from '../preview/inputs.ts'
import type { OpenedLoras } from '../preview/loras.ts'
import { requireFinite } from '../preview/render.ts'
import { explainRenderer, openRenderer } from '../preview/renderer.ts'

export type Session = {
  /** The transformed sound, 48 kHz stereo, piece after piece. It is at least as long as the reference. @param reference stereo, 16 kHz. */
  transform(reference: Waveform): AsyncGenerator<Waveform>
  /** Frees the model. */
  close(): void
}

export type SessionOptions = {
  settings: ApplySettings
  opened: OpenedLoras
  /** The length of a window in seconds. */
  windowSeconds: number
}

/** @throws Interrupted when the reporter's signal is aborted, also later from `transform`. */
export async function openSession(base: BaseModel, options: SessionOptions, reporter: Reporter): Promise<Session> {
  const { settings, opened, windowSeconds } = options
  const { components, config } = base
  reporter.info(describeBase(base))
  adviseGuidance(base, { cfgFlag: '--cfg', ...settings }, reporter)
  explainRenderer(base, settings.renderer, reporter)
  const prompt = opened.prompt ? `the prompt ${JSON.stringify(opened.prompt)}` : 'no prompt'
  const loras = opened.loras.length === 0 ? 'no LoRA' : opened.loras.map(loraText).join(', ')
  reporter.info(`Transforming with ${loras} and ${prompt}, in windows of ${windowSeconds} s`)
  const backend = await leaseBackend(settings.backend, reporter)
  const closing: (() => void)[] = [backend.release]
  const close = () => {
    for (const free of closing.splice(0).reverse()) free()
  }
  try {
    const prompts = [opened.prompt, settings.negativePrompt] as const
    const encoded = await encodeTexts(base, prompts, openCache(undefined, reporter.warn))
    const [context, negativeContext] = prompts.map((prompt) => encoded.get(prompt)) as [HostMatrix, HostMatrix]
    reporter.throwIfAborted()
    const vae = loadAudioVae(components.audioVae, config.audio_vae)
    closing.push(() => disposeAudioVae(vae))
    const renderer = openRenderer(base, settings.renderer)
    closing.push(renderer.close)
    const model = loadModel(base, {}, reporter)
    closing.push(() => disposeTransformer(model))
    attachSavedLoras(model, opened.loras)
    closing.push(() => detachLora(model))
    const sampler = openSampler(model)
    closing.push(sampler.close)

    const window = clipLatentFrames(windowSeconds)
    const latentChannels = config.audio_vae.model.params.ddconfig.z_channels
    const melOptions = melOptionsOf(config.audio_vae)

    async function encode(reference: Waveform): Promise<HostMatrix> {
      const seconds = sampleCount(reference) / reference.sampleRate
      const frames = coveringLatentFrames(seconds)
      const missing = 4 * (frames - 1) * melOptions.hop - sampleCount(reference)
      const padded = missing > 0 ? padWithSilence(reference, 0, missing) : reference
      const stage = reporter.stage('Encoding', Math.round(seconds), 's')
      const latents = await encodeInPieces(vae, frames, (from, to) => logMelFrames(padded, from, to, melOptions), {
        onProgress: (done) => {
          stage.update(Math.round((done / frames) * seconds))
          reporter.throwIfAborted()
        },
      })
      stage.finish(`${seconds.toFixed(2)} s of sound`)
      return latents
    }

    async function sample(reference: HostMatrix): Promise<HostMatrix> {
      const [frames, width] = reference.shape
      const [even = 0, odd = 0] = [0, 1].map((step) => windowOffsets(frames, Math.min(window, frames), step).length)
      const windows =
        odd === even || settings.steps === 1 ? countText(even, 'window') : `${even} and ${odd} windows in turn`
      const stage = reporter.stage('Sampling', windowPasses(frames, window, settings.steps), 'window steps')
      const latents = await sampleWindows(sampler, {
        noise: { shape: [frames, width], values: normals(randomFor(settings.seed, 'preview'), frames * width) },
        reference,
        context,
        negativeContext,
        window,
        steps: settings.steps,
        guidance: { cfg: settings.cfg, stg: settings.stgScale, rescale: guidanceRescale },
        onWindow: (done) => {
          stage.update(done)
          reporter.throwIfAborted()
        },
      })
      requireFinite(latents.values, 'latents')
      stage.finish(`${countText(settings.steps, 'step')} of ${windows}`)
      return latents
    }

    return {
      transform: async function* (reference) {
        const latents = await sample(await encode(reference))
        const decoded = await decodeInPieces(vae, latents, latentChannels, { onProgress: reporter.throwIfAborted })
        requireFinite(decoded.data, 'a spectrogram')
        const stage = reporter.stage('Rendering', Math.round(sampleCount(reference) / reference.sampleRate), 's')
        let samples = 0
        for await (const piece of renderer.renderInPieces(decoded, reporter.throwIfAborted)) {
          for (const channel of piece.channels) requireFinite(channel, 'a waveform')
          samples += sampleCount(piece)
          yield piece
          stage.update(Math.round(samples / piece.sampleRate))
        }
        stage.finish()
      },
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

const loraText = ({ file, strength }: OpenedLoras['loras'][number]) =>
  `${basename(file.path)}${strength === 1 ? '' : ` × ${strength}`}`
