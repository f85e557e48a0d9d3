/** The audio of a run: previews with the same references, prompts and noise at every checkpoint, and reconstructions of a few targets. */
import { existsSync, rmSync, statSync } from 'node:fs'
import { audioExtensions } from '../audio/decode.ts'
import { encodeWav } from '../audio/wav.ts'
import { concatenateWaveforms, type Waveform } from '../audio/waveform.ts'
import type { TrainSettings } from '../config/settings.ts'
import type { Validation } from '../config/values.ts'
import { guidanceRescale, openSampler } from '../diffusion/sampler.ts'
import type { EncodedPair } from '../encode/dataset.ts'
import type { HostMatrix } from '../engine/device-tensors.ts'
import { targetLatentFrames } from '../model/audio-vae/latents.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import type { DownloadOptions } from '../net/download.ts'
import { parseLocation } from '../net/location.ts'
import { withParameter } from '../platform/errors.ts'
import { replaceFile } from '../platform/files.ts'
import type { Reporter } from '../platform/progress.ts'
import { readReference } from '../preview/inputs.ts'
import { renderLatents, sampleWaveform } from '../preview/render.ts'
import type { TrainEvent, ValidationClip } from './events.ts'
import type { RunFolder } from './run-folder.ts'

/**
 * Reads the references of the previews. It happens before anything is written, so that a wrong path costs nothing.
 * @param options.onCut called with each reference that is longer than a clip.
 * @throws UserError for a reference that cannot be read.
 */
export async function readValidationClips(
  { validation, audioDurationSeconds, audioNormalize }: TrainSettings,
  { onCut, ...options }: DownloadOptions & { onCut?: (reference: string) => void } = {},
): Promise<ValidationClip[]> {
  const fit = { seconds: audioDurationSeconds, normalize: audioNormalize }
  const read = (location: string, onCut?: () => void) => readReference(location, { ...fit, ...options, onCut })
  const clips: ValidationClip[] = []
  const readClip = async ({ prompt, referenceAudioUrl }: Validation): Promise<ValidationClip> => {
    const target = groundTruthOf(referenceAudioUrl)
    return {
      prompt,
      reference: await read(referenceAudioUrl, () => onCut?.(referenceAudioUrl)),
      target: target === undefined ? undefined : await read(target),
    }
  }
  for (const [i, entry] of validation.entries())
    clips.push(await withParameter('validation', () => readClip(entry), [i, 'reference_audio_url']))
  return clips
}

/** The path of the target beside a local `<name>_start` file, in any format; undefined where there is none. */
export function groundTruthOf(reference: string): string | undefined {
  const location = parseLocation(reference)
  const [, stem] = location.kind === 'path' ? (location.path.match(/^(.+)_start\.[^.]+$/i) ?? []) : []
  if (stem === undefined) return undefined
  return audioExtensions.map((extension) => `${stem}_end${extension}`).find((path) => existsSync(path))
}

export type PreviewRenderer = {
  /** Renders every preview with the LoRA as it is now. Writes each as a wav, and all of them one after another as `audio.wav`. */
  renderAt(step: number): Promise<void>
  /** Whether `renderAt` was completed for this step, in an earlier process for example. */
  isDoneAt(step: number): boolean
  /** Renders every preview with the LoRA as it is now, which is the best one. @param step the step that it is of. */
  renderBest(step: number): Promise<void>
  isBestDone(): boolean
  /** Removes the previews with a LoRA that may not stay the best one. */
  discardBest(): void
  close(): void
}

export type PreviewInputs = {
  validation: readonly ValidationClip[]
  /** The latent patches of the references, in the same order. */
  references: readonly HostMatrix[]
  /** By text. */
  contexts: ReadonlyMap<string, HostMatrix>
}

export function createPreviewRenderer(
  { base, model, run, settings }: { base: BaseModel; model: Transformer; run: RunFolder; settings: TrainSettings },
  { validation, references, contexts }: PreviewInputs,
  reporter: Reporter<TrainEvent>,
): PreviewRenderer {
  const sampler = openSampler(model)
  const contextOf = (text: string) => contexts.get(text) as HostMatrix

  const render = async (clip: ValidationClip, number: number, step: number, isBest = false) => {
    const lora = isBest ? `with the best LoRA, of step ${step}` : `at step ${step}`
    const stage = reporter.stage(`Preview ${number} ${lora}`, settings.previewSteps, 'steps')
    const waveform = await sampleWaveform(
      base,
      sampler,
      {
        reference: references[number - 1] as HostMatrix,
        context: contextOf(clip.prompt),
        negativeContext: contextOf(settings.validationNegativePrompt),
        frames: targetLatentFrames(wholeFrames(settings.audioDurationSeconds, settings.validationFrameRate)),
        seed: settings.seed,
        steps: settings.previewSteps,
        guidance: { cfg: settings.previewCfg, stg: settings.stgScale, rescale: guidanceRescale },
        renderer: settings.renderer,
      },
      { name: `preview ${number} ${lora}`, stage, reporter },
    )
    const path = isBest ? run.bestPreview(number) : run.preview(number, step)
    replaceFile(path, [encodeWav(waveform)])
    stage.finish(path)
    await reporter.emit({ type: 'preview', number, step, ...(isBest && { isBest }), path, waveform })
    return waveform
  }

  return {
    renderAt: async (step) => {
      const waveforms: Waveform[] = []
      for (const [i, clip] of validation.entries()) waveforms.push(await render(clip, i + 1, step))
      if (waveforms.length > 0) replaceFile(run.audio, [encodeWav(concatenateWaveforms(waveforms))])
    },
    isDoneAt: (step) => validation.every((_, i) => isNewer(run.audio, run.preview(i + 1, step))),
    renderBest: async (step) => {
      for (const [i, clip] of validation.entries()) await render(clip, i + 1, step, true)
    },
    isBestDone: () => validation.every((_, i) => existsSync(run.bestPreview(i + 1))),
    discardBest: () => {
      for (const i of validation.keys()) rmSync(run.bestPreview(i + 1), { force: true })
    },
    close: sampler.close,
  }
}

/** Whether both files exist and the first was written last. */
function isNewer(later: string, earlier: string): boolean {
  const [last, first] = [later, earlier].map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs)
  return last !== undefined && first !== undefined && last >= first
}

/** The reference implementation counts the length of a preview in whole video frames. There is at least one. */
const wholeFrames = (seconds: number, frameRate: number) => Math.max(1, Math.round(seconds * frameRate)) / frameRate

/**
 * Emits a `reconstruction` for each clip. One that fails becomes a warning: it must not stop the training.
 * @throws the error of a listener that failed.
 */
export async function reconstructTargets(
  base: BaseModel,
  clips: readonly { name: string; target: Waveform }[],
  { pairs, renderer }: { pairs: readonly EncodedPair[]; renderer: TrainSettings['renderer'] },
  reporter: Reporter<TrainEvent>,
) {
  if (clips.length === 0) return
  const stage = reporter.stage('Reconstructing clips', clips.length, 'clips')
  try {
    for (const [i, { name, target: original }] of clips.entries()) {
      const latents = pairs.find((pair) => pair.name === name)?.target
      if (!latents) continue
      const { waveform: reconstructed } = await renderLatents(base, latents, renderer)
      await reporter.emit({ type: 'reconstruction', name, original, reconstructed })
      stage.update(i + 1)
    }
    stage.finish(`${clips.map(({ name }) => name).join(' and ')}, encoded and decoded`)
  } catch (error) {
    await reporter.settled() // throws the error of a listener
    stage.finish('failed')
    reporter.warn(`the reconstruction of a clip failed: ${(error as Error).message}`)
  }
}
