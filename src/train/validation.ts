/** The previews of a run: the same references, prompts and noise at every checkpoint, so that they can be compared by ear. */
import { existsSync, statSync } from 'node:fs'
import { audioExtensions } from '../audio/decode.ts'
import { encodeWav } from '../audio/wav.ts'
import type { Waveform } from '../audio/waveform.ts'
import type { Terminal } from '../cli/terminal/terminal.ts'
import type { TrainSettings } from '../config/settings.ts'
import { fitReference } from '../dataset/clips.ts'
import { openSampler } from '../diffusion/sampler.ts'
import type { HostMatrix } from '../engine/device-tensors.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import { openFile } from '../net/download.ts'
import { parseLocation } from '../net/location.ts'
import { replaceFile } from '../platform/files.ts'
import { generateLatents, renderLatents } from '../preview/render.ts'
import type { RunFolder } from './run-folder.ts'

/** One entry of `validation`, its reference fitted, and what it should become where that lies beside it. */
export type ValidationClip = { prompt: string; reference: Waveform; target?: Waveform | undefined }

/** How much of the plain prediction's spread guidance keeps; the reference's own setting. */
export const guidanceRescale = 0.7

/** Reads the references before anything is written, so that a wrong path costs nothing. */
export async function readValidationClips({
  validation,
  audioDurationSeconds,
  audioNormalize,
}: TrainSettings): Promise<ValidationClip[]> {
  const clips: ValidationClip[] = []
  for (const { prompt, referenceAudioUrl } of validation) {
    const read = (location: string) => readReference(location, audioDurationSeconds, audioNormalize)
    const target = knownTarget(referenceAudioUrl)
    clips.push({
      prompt,
      reference: await read(referenceAudioUrl),
      target: target === undefined ? undefined : await read(target),
    })
  }
  return clips
}

/** At most `seconds` of a reference at a path or URL. @param normalize as the LoRA's training clips were: it knows no other level. */
export async function readReference(location: string, seconds: number, normalize: boolean): Promise<Waveform> {
  const file = await openFile(location)
  try {
    return await fitReference(file.path, seconds, { normalize })
  } finally {
    await file.close()
  }
}

export type Validation = {
  /** Renders every preview with the LoRA as it is now and writes each as a wav, and all one after another. */
  previewAt(step: number): Promise<void>
  /** Whether `previewAt` has already done all it does at this step. */
  isDoneAt(step: number): boolean
  close(): void
}

export type ValidationInput = {
  clips: readonly ValidationClip[]
  references: readonly HostMatrix[]
  contexts: ReadonlyMap<string, HostMatrix>
}

export type ValidationListeners = {
  checkInterruption: () => void
  /** Training waits for it. @param number 1-based */
  onPreview?: (number: number, step: number, waveform: Waveform) => Promise<void>
}

export function createValidation(
  { base, model, run, settings }: { base: BaseModel; model: Transformer; run: RunFolder; settings: TrainSettings },
  { clips, references, contexts }: ValidationInput,
  terminal: Terminal,
  { checkInterruption, onPreview }: ValidationListeners,
): Validation {
  const sampler = openSampler(model)
  const contextOf = (text: string) => contexts.get(text) as HostMatrix

  const preview = async (clip: ValidationClip, number: number, step: number) => {
    const stage = terminal.stage(`Preview ${number} at step ${step}`, settings.previewSteps, 'steps')
    const latents = await generateLatents(
      sampler,
      {
        reference: references[number - 1] as HostMatrix,
        context: contextOf(clip.prompt),
        negativeContext: contextOf(settings.validationNegativePrompt),
        seconds: wholeFrames(settings.audioDurationSeconds, settings.validationFrameRate),
        seed: settings.seed,
        steps: settings.previewSteps,
        guidance: { cfg: settings.previewCfg, stg: settings.stgScale, rescale: guidanceRescale },
      },
      (done) => {
        stage.update(done)
        checkInterruption()
      },
    )
    const waveform = await renderLatents(base, latents)
    const path = run.preview(number, step)
    replaceFile(path, [encodeWav(waveform)])
    stage.done(path)
    await onPreview?.(number, step, waveform)
    return waveform
  }

  return {
    previewAt: async (step) => {
      const waveforms: Waveform[] = []
      for (const [i, clip] of clips.entries()) waveforms.push(await preview(clip, i + 1, step))
      if (waveforms.length > 0) replaceFile(run.audio, [encodeWav(joined(waveforms))])
    },
    isDoneAt: (step) => clips.every((_, i) => isNewer(run.audio, run.preview(i + 1, step))),
    close: sampler.close,
  }
}

/** Whether both files are there, the first written last. */
function isNewer(later: string, earlier: string): boolean {
  const [last, first] = [later, earlier].map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs)
  return last !== undefined && first !== undefined && last >= first
}

/** The reference counts a preview's length in whole video frames. */
const wholeFrames = (seconds: number, frameRate: number) => Math.round(seconds * frameRate) / frameRate

function joined(waveforms: readonly Waveform[]): Waveform {
  const [first] = waveforms as [Waveform, ...Waveform[]]
  const channels = first.channels.map((_, c) => {
    const parts = waveforms.map(({ channels }) => channels[c] as Float32Array)
    const whole = new Float32Array(parts.reduce((samples, part) => samples + part.length, 0))
    let at = 0
    for (const part of parts) {
      whole.set(part, at)
      at += part.length
    }
    return whole
  })
  return { sampleRate: first.sampleRate, channels }
}

/** What a validation reference should become, where its folder knows: `take_end.flac` beside `take_start.wav`. */

/** The path of the target beside a local `<name>_start` file, whatever its format; `undefined` where there is none. */
export function knownTarget(reference: string): string | undefined {
  const place = parseLocation(reference)
  const [, stem] = place.kind === 'path' ? (place.path.match(/^(.+)_start\.[^.]+$/i) ?? []) : []
  if (stem === undefined) return undefined
  return audioExtensions.map((extension) => `${stem}_end${extension}`).find((path) => existsSync(path))
}
