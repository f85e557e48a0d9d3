/** What training and previews have in common: how they load the base, and how they read a reference recording. */

import { peak, silencePeak, type Waveform } from '../audio/waveform.ts'
import { defaultLimits } from '../config/limits.ts'
import { fitReference } from '../dataset/clips.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { Checkpointing } from '../model/transformer/checkpointing.ts'
import { loadTransformer, type Transformer } from '../model/transformer/transformer.ts'
import { type DownloadOptions, openFile } from '../net/download.ts'
import { parseLocation, shownLocation } from '../net/location.ts'
import { withParameter } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'

type GuidanceSettings = {
  cfg: number
  /** The flag that sets it. */
  cfgFlag: string
  stgScale: number
}

/** The strongest guidance without a warning. The bundled base has learned little from captions: more adds mostly noise, and makes it louder. */
const bundledGuidance = 2

export function adviseGuidance({ isBundled }: BaseModel, settings: GuidanceSettings, reporter: Reporter) {
  const { cfg, cfgFlag, stgScale } = settings
  const tooStrong = [
    ...(cfg > bundledGuidance ? [{ given: `${cfgFlag} ${cfg}`, better: `${cfgFlag} 1` }] : []),
    ...(stgScale > 0 ? [{ given: `--stg-scale ${stgScale}`, better: '--stg-scale 0' }] : []),
  ]
  if (!isBundled || tooStrong.length === 0) return
  const [given, better] = (['given', 'better'] as const).map((key) => tooStrong.map((one) => one[key]).join(' '))
  reporter.warn(`guidance of ${given} is too strong for the small bundled base: it sounds best with ${better}`)
}

/** Loads the transformer, as a stage of the work. */
export function loadModel(
  { components, config }: BaseModel,
  { recompute = 'auto' }: { recompute?: Checkpointing },
  reporter: Reporter,
): Transformer {
  const { num_layers: blocks } = config.transformer
  const stage = reporter.stage('Loading the model', blocks, 'blocks')
  const onProgress = (done: number) => stage.update(done)
  const model = withParameter('model', () =>
    loadTransformer(components.transformer, config.transformer, { onProgress, checkpointing: recompute }),
  )
  stage.finish(`${blocks} blocks`)
  return model
}

export type ReferenceOptions = DownloadOptions & {
  /** How much of the beginning is used. */
  seconds: number
  /** As for the clips that the LoRA was trained on: the LoRA has seen no other level. */
  normalize: boolean
  onCut?: (() => void) | undefined
}

/** At most `seconds` of a reference at a path or URL. */
export async function readReference(
  location: string,
  { seconds, normalize, limits = defaultLimits, signal, onCut }: ReferenceOptions,
): Promise<Waveform> {
  const file = await openFile(location, { limits, signal })
  try {
    return await fitReference(file.path, seconds, { normalize, name: shownReference(location), limits, onCut })
  } finally {
    await file.close()
  }
}

/** Nothing can be made of silence. */
export function warnOfSilence(location: string, reference: Waveform, reporter: Reporter) {
  if (peak(reference) > silencePeak) return
  reporter.warn(`${shownReference(location)} is silent in the part that is used`, 'use another reference')
}

/** The name of a reference in messages. */
export const shownReference = (location: string) => shownLocation(parseLocation(location))
