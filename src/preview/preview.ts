/** From a reference recording, a prompt and LoRAs to sound. */
import { durationOf, firstSamples, type Waveform } from '../audio/waveform.ts'
import type { Limits } from '../config/limits.ts'
import { maxClipSeconds } from '../config/parameters.ts'
import { type PreviewOptions, type PreviewSettings, resolvePreviewSettings } from '../config/settings.ts'
import { guidanceRescale, openSampler } from '../diffusion/sampler.ts'
import { type Cache, openCache } from '../encode/cache.ts'
import { encodeTexts } from '../encode/captions.ts'
import { openClipEncoder } from '../encode/dataset.ts'
import { leaseBackend } from '../engine/backend.ts'
import type { HostMatrix } from '../engine/device-tensors.ts'
import { coveringLatentFrames } from '../model/audio-vae/latents.ts'
import { type BaseModel, describeBase, openBase } from '../model/base-model.ts'
import { attachSavedLoras, detachLora, type SavedLora } from '../model/lora.ts'
import { disposeTransformer } from '../model/transformer/transformer.ts'
import { withParameter } from '../platform/errors.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../platform/progress.ts'
import { adviseGuidance, loadModel, readReference, shownReference, warnOfSilence } from './inputs.ts'
import { openLoras } from './loras.ts'
import { sampleWaveform } from './render.ts'
import { explainRenderer } from './renderer.ts'

export type PreviewRunOptions = RunOptions<ProgressEvent> & {
  /** Limits on the size of input and on the time to decode it. */
  limits?: Limits | undefined
}

export type PreviewResult = {
  /** 48 kHz stereo. */
  waveform: Waveform
  /** The prompt that was used: the given one, or the LoRA's trigger phrase. */
  prompt: string
}

/**
 * Transforms a recording. Nothing is written.
 * @throws UserError for a file that is missing, is not a LoRA, or belongs to another base. Interrupted when the signal was aborted.
 */
export async function preview(options: PreviewOptions, runOptions: PreviewRunOptions = {}): Promise<PreviewResult> {
  return renderPreview(resolvePreviewSettings({ options }), runOptions)
}

/** A preview with settings that were resolved before. @throws as `preview` does. */
export async function renderPreview(settings: PreviewSettings, runOptions: PreviewRunOptions): Promise<PreviewResult> {
  const base = openBase(settings)
  try {
    return await renderWith(base, settings, runOptions)
  } finally {
    base.close()
  }
}

async function renderWith(
  base: BaseModel,
  settings: PreviewSettings,
  runOptions: PreviewRunOptions,
): Promise<PreviewResult> {
  const reporter = createReporter<ProgressEvent>(runOptions)
  reporter.info(describeBase(base))
  explainRenderer(base, settings.renderer, reporter)
  const { loras, prompt, normalize, clipSeconds } = openLoras(base, settings, reporter)
  const maxSeconds = settings.duration ?? clipSeconds ?? maxClipSeconds
  const clip = await withParameter('reference', () =>
    readReference(settings.reference, {
      seconds: maxSeconds,
      normalize,
      limits: runOptions.limits,
      signal: runOptions.signal,
      onCut: () => reporter.info(cutText(settings, maxSeconds)),
    }),
  )
  warnOfSilence(settings.reference, clip, reporter)
  if (settings.duration !== undefined && durationOf(clip) < settings.duration - hardlyShorter)
    reporter.warn(
      `${shownReference(settings.reference)} has ${durationOf(clip).toFixed(2)} s: after that, nothing guides the result`,
      'leave --duration out, and the result is as long as the recording',
    )
  adviseGuidance(base, { cfgFlag: '--cfg', ...settings }, reporter)
  const seconds = settings.duration ?? durationOf(clip)
  const backend = await leaseBackend(settings.backend, reporter)
  try {
    const waveform = await transformClip(base, settings, { loras, prompt, clip, seconds }, reporter)
    await reporter.settled()
    return { waveform, prompt }
  } finally {
    backend.release()
  }
}

/** In seconds: half a latent frame. */
const hardlyShorter = 0.02

/** What part of a recording is used, and how to use more of it. */
function cutText({ reference, duration }: PreviewSettings, seconds: number): string {
  const used = `${shownReference(reference)}: the first ${seconds} s are used`
  if (duration === undefined && seconds < maxClipSeconds)
    return `${used}, as much as a clip that the LoRA was trained on; --duration sets another length, and ltx-a2a apply transforms all of it`
  return seconds < maxClipSeconds ? used : `${used}, the longest possible clip; ltx-a2a apply transforms all of it`
}

type PreviewInputs = { loras: readonly SavedLora[]; prompt: string; clip: Waveform; seconds: number }

async function transformClip(
  base: BaseModel,
  settings: PreviewSettings,
  { loras, prompt, clip, seconds }: PreviewInputs,
  reporter: Reporter,
): Promise<Waveform> {
  const cache = openCache(undefined, reporter.warn)
  const reference = await encodeClip(base, cache, clip)
  const contexts = await encodeTexts(base, [prompt, settings.negativePrompt], cache)
  reporter.throwIfAborted()
  const model = loadModel(base, {}, reporter)
  const sampler = openSampler(model)
  try {
    attachSavedLoras(model, loras)
    const stage = reporter.stage('Sampling', settings.steps, 'steps')
    const sampled = await sampleWaveform(
      base,
      sampler,
      {
        reference,
        context: contexts.get(prompt) as HostMatrix,
        negativeContext: contexts.get(settings.negativePrompt) as HostMatrix,
        frames: coveringLatentFrames(seconds),
        seed: settings.seed,
        steps: settings.steps,
        guidance: { cfg: settings.cfg, stg: settings.stgScale, rescale: guidanceRescale },
        renderer: settings.renderer,
      },
      { name: 'the preview', stage, reporter },
    )
    const waveform = firstSamples(sampled, Math.round(seconds * sampled.sampleRate))
    stage.finish(
      `${durationOf(waveform).toFixed(2)} s of sound ${prompt ? `from the prompt ${JSON.stringify(prompt)}` : 'without a prompt'}`,
    )
    return waveform
  } finally {
    sampler.close()
    detachLora(model)
    disposeTransformer(model)
  }
}

async function encodeClip(base: BaseModel, cache: Cache, clip: Waveform) {
  const encoder = openClipEncoder(base, cache)
  try {
    return await encoder.encode(clip)
  } finally {
    encoder.close()
  }
}
