/** From a reference and a prompt to sound: noise → latents → mel → waveform. */
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import type { Mel } from '../audio/mel.ts'
import { clipSamples, countClipped, sampleCount, type Waveform } from '../audio/waveform.ts'
import type { RendererChoice } from '../config/parameters.ts'
import type { Guidance, Sampler } from '../diffusion/sampler.ts'
import { fromBatch, type HostMatrix, toBatch } from '../engine/device-tensors.ts'
import { decodeLatents, disposeAudioVae, loadAudioVae } from '../model/audio-vae/audio-vae.ts'
import { unpatchify } from '../model/audio-vae/latents.ts'
import { melOfTensor } from '../model/mel-tensor.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter, Stage } from '../platform/progress.ts'
import { normals, randomFor } from '../platform/random.ts'
import { mean } from '../platform/statistics.ts'
import { percentText } from '../platform/text.ts'
import { openRenderer, type RenderingBase } from './renderer.ts'

export type PreviewRequest = {
  /** Patches of the reference clip, `[R, 128]`. */
  reference: HostMatrix
  /** Contexts `[S, D]` of the prompt and of the negative prompt. */
  context: HostMatrix
  negativeContext: HostMatrix
  /** The latent frames of the result. */
  frames: number
  seed: number
  steps: number
  guidance: Guidance
  renderer: RendererChoice
}

/** The generated latents as patches, `[T, 128]`. The same seed starts from the same noise, whatever the step of training. */
export async function generateLatents(
  sampler: Sampler,
  request: Omit<PreviewRequest, 'renderer'>,
  onStep?: (done: number) => void,
): Promise<HostMatrix> {
  const { frames, seed, steps, guidance } = request
  const [, width] = request.reference.shape
  const noise = normals(randomFor(seed, 'preview'), frames * width)
  const inputs = {
    noise: toBatch({ shape: [frames, width], values: noise }),
    reference: toBatch(request.reference),
    context: toBatch(request.context),
    negativeContext: toBatch(request.negativeContext),
  }
  try {
    const latents = await sampler.sample({
      ...inputs,
      steps,
      guidance,
      onStep: async (step) => {
        onStep?.(step + 1)
        await setImmediate()
      },
    })
    return fromBatch(latents)
  } finally {
    tf.dispose(inputs)
  }
}

/**
 * The waveform of a preview. The stage shows the sampling steps. There is a warning where much of it is clipped.
 * @param name of the preview, for the warning: `preview 1 at step 250`.
 * @throws Interrupted when the reporter's signal was aborted.
 */
export async function sampleWaveform(
  base: RenderingBase,
  sampler: Sampler,
  request: PreviewRequest,
  { name, stage, reporter }: { name: string; stage: Stage; reporter: Pick<Reporter, 'throwIfAborted' | 'warn'> },
): Promise<Waveform> {
  const latents = await generateLatents(sampler, request, (done) => {
    stage.update(done)
    reporter.throwIfAborted()
  })
  const { waveform, clippedShare } = await renderLatents(base, latents, request.renderer, reporter.throwIfAborted)
  await setImmediate() // signals that came while the vocoder ran
  reporter.throwIfAborted()
  if (clippedShare >= audibleShare)
    reporter.warn(
      `${percentText(clippedShare)} of the samples of ${name} were above full scale, and clipped`,
      'weaker guidance makes it quieter',
    )
  return waveform
}

/** A smaller share of clipped samples is not reported: a few are in the first and last milliseconds of many previews. */
const audibleShare = 0.001

/** A clipped waveform, and the share of its samples that were above full scale. */
export type RenderedSound = { waveform: Waveform; clippedShare: number }

/**
 * The sound of latents, 48 kHz stereo.
 * @param onProgress called often. What it throws ends the rendering.
 * @throws UserError where it would not consist of numbers: clipped, it would be a loud constant.
 */
export async function renderLatents(
  base: RenderingBase,
  latents: HostMatrix,
  choice: RendererChoice,
  onProgress?: () => void,
): Promise<RenderedSound> {
  requireFinite(latents.values, 'latents')
  const mel = await decodePatches(base, latents)
  requireFinite(mel.data, 'a spectrogram')
  const waveform = await soundOf(base, mel, choice, onProgress)
  for (const channel of waveform.channels) requireFinite(channel, 'a waveform')
  return {
    waveform: clipSamples(waveform),
    clippedShare: mean(waveform.channels.map(countClipped)) / sampleCount(waveform),
  }
}

/** @throws UserError for a value that is not finite. @param what holds the values, for the message. */
export function requireFinite(values: Float32Array, what: string) {
  if (values.every(Number.isFinite)) return
  throw new UserError(`the model computed ${what} with values that are not finite, so there is no sound to write`, {
    hint: 'lower the strength of the LoRA or the guidance; with numbers of 16 bits, try LTX_A2A_PRECISION=float32',
  })
}

/** Latents as patches to a stereo log-mel, `[T, 128] → [2, M, 64]`. The decoder is loaded for this and freed afterwards. */
export async function decodePatches({ components, config }: RenderingBase, latents: HostMatrix): Promise<Mel> {
  const vae = loadAudioVae(components.audioVae, config.audio_vae, { encoder: false })
  const channels = config.audio_vae.model.params.ddconfig.z_channels
  const mel = tf.tidy(() => decodeLatents(vae, unpatchify(toBatch(latents), channels)))
  disposeAudioVae(vae)
  try {
    return await melOfTensor(mel)
  } finally {
    mel.dispose()
  }
}

/** The sound of a log-mel. What makes it is loaded for this and freed afterwards. */
export async function soundOf(
  base: RenderingBase,
  mel: Mel,
  choice: RendererChoice,
  onProgress?: () => void,
): Promise<Waveform> {
  const renderer = openRenderer(base, choice)
  try {
    return await renderer.render(mel, onProgress)
  } finally {
    renderer.close()
  }
}
