/** The LoRAs of a preview: read, checked against the base, and asked what their training has decided. */

import { maxClipSeconds } from '../config/parameters.ts'
import type { PreviewSettings } from '../config/settings.ts'
import { type BaseModel, isFingerprintOf } from '../model/base-model.ts'
import type { SavedLora } from '../model/lora.ts'
import { type LoraFile, parseLoraMetadata, readLora } from '../model/lora-file.ts'
import { fitLora, weightShapesOf } from '../model/lora-fit.ts'
import { entryPlace, withParameter } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'

export type LoraSettings = Pick<PreviewSettings, 'loras' | 'prompt' | 'normalizeReference'>

/** What is not in the settings comes from the metadata of the first LoRA. */
export type OpenedLoras = {
  loras: SavedLora[]
  prompt: string
  /** Whether the peak of a reference is normalized, as that of the LoRA's clips. The default is that of training. */
  normalize: boolean
  /** The length of the LoRA's clips, as far as it is known. */
  clipSeconds: number | undefined
}

/** @throws UserError for a file that is missing, is not a LoRA, or belongs to another model: before the model is loaded, which can take minutes. */
export function openLoras(base: BaseModel, settings: LoraSettings, reporter: Reporter): OpenedLoras {
  const openLora = ({ path, strength }: LoraSettings['loras'][number]) => {
    const file = readLora(path)
    requireFit(file, base, reporter)
    return { file, strength }
  }
  const loras = settings.loras.map((lora, i) =>
    withParameter('lora', () => openLora(lora), entryPlace(settings.loras, i)),
  )
  for (const { file } of loras) warnOfOtherBase(file, base, reporter)
  if (loras[0]) warnOfLostMetadata(loras[0].file, settings, reporter)
  const [facts] = loras.map(({ file }) => parseLoraMetadata(file.metadata))
  const prompt = settings.prompt ?? facts?.triggerPhrase ?? ''
  if (prompt === '' && settings.prompt === undefined) warnOfMissingCaption(loras, reporter)
  return {
    loras,
    prompt,
    normalize: settings.normalizeReference ?? facts?.normalized ?? true,
    clipSeconds: facts?.durationSeconds && Math.min(facts.durationSeconds, maxClipSeconds),
  }
}

function warnOfOtherBase({ path, metadata }: LoraFile, base: BaseModel, reporter: Reporter) {
  const { baseModel, baseVersion } = parseLoraMetadata(metadata)
  if (baseModel === undefined || isFingerprintOf(base, baseModel)) return
  const [, release] = /^(\d+\.\d+)/.exec(baseVersion ?? '') ?? []
  const which = `${baseModel}, this one is ${base.fingerprint}`
  const isSameRelease = release === undefined || release === base.release
  if (isSameRelease && base.config.vocoder === undefined)
    reporter.warn(
      `${path} may have been trained on another base model (${which})`,
      'this base has no vocoder, and the fingerprint depends on the vocoder: ignore this if the other files are the same',
    )
  else if (isSameRelease) reporter.warn(`${path} was trained on another base model (${which})`)
  else
    reporter.warn(
      `${path} was trained on LTX-${release}, but this base is LTX-${base.release}: ${which}`,
      'its layers fit, but it was not made for this base: use the base that it was trained on',
    )
}

/** Warns of layers that have no effect. @throws UserError for a LoRA that does not fit. */
function requireFit(file: LoraFile, { components }: BaseModel, reporter: Reporter) {
  const { videoLayers } = fitLora(file, weightShapesOf(components.transformer))
  const [first] = videoLayers
  if (first !== undefined)
    reporter.warn(
      `${file.path} also adapts ${videoLayers.length} ${videoLayers.length === 1 ? 'layer' : 'layers'} of the video stream, such as ${first}: ignored, because only sound is computed`,
    )
}

/** Without a trigger phrase, a LoRA that was trained with captions does little without one. */
function warnOfMissingCaption(loras: readonly SavedLora[], reporter: Reporter) {
  for (const { file } of loras) {
    const { exampleCaption } = parseLoraMetadata(file.metadata)
    if (exampleCaption === undefined) continue
    reporter.warn(
      `${file.path} was trained with captions, but the prompt is empty`,
      `add --prompt with a caption as in training, for example ${JSON.stringify(exampleCaption)}`,
    )
    return
  }
}

/** Metadata is lost when other programs save a LoRA, and other trainers write none. What it would have decided is named. */
function warnOfLostMetadata({ path, metadata }: LoraFile, settings: LoraSettings, reporter: Reporter) {
  const { normalized, triggerPhrase } = parseLoraMetadata(metadata)
  const assumed = [
    ...(normalized === undefined && settings.normalizeReference === undefined
      ? ['the peak of the reference is normalized, the default of training (off: --no-normalize-reference)']
      : []),
    ...(triggerPhrase === undefined && settings.prompt === undefined
      ? ['the prompt is empty (--prompt <trigger phrase>)']
      : []),
  ]
  if (assumed.length > 0) reporter.warn(`${path} has no metadata about its training: ${assumed.join('; ')}`)
}
