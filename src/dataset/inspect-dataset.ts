/** The inspection of a dataset as other programs call it. */

import type { Limits } from '../config/limits.ts'
import { type InspectOptions, type InspectSettings, resolveInspectSettings } from '../config/settings.ts'
import { createReporter, type ProgressEvent, type RunOptions } from '../platform/progress.ts'
import { countText } from '../platform/text.ts'
import { type Dataset, inspectSource } from './dataset.ts'
import type { DatasetOptions } from './fit-plan.ts'
import { openSource, type Source } from './source.ts'

export type InspectRunOptions = RunOptions<ProgressEvent> & {
  /** What input may cost at most. */
  limits?: Limits | undefined
}

/**
 * What a training would use, skip, trim and stretch, and why. It needs no model and writes nothing.
 * @throws UserError when the dataset cannot be opened; problems with its files are part of the result. Interrupted when the signal was aborted.
 */
export async function inspectDataset(options: InspectOptions, runOptions: InspectRunOptions = {}): Promise<Dataset> {
  const { settings } = resolveInspectSettings({ options })
  const { limits, signal } = runOptions
  const source = await openSource(options.data, { limits, signal })
  try {
    return await inspectOpenSource(source, settings, runOptions)
  } finally {
    await source.close()
  }
}

/** The same for a source that is open already. The caller closes it. */
export async function inspectOpenSource(
  source: Source,
  settings: InspectSettings,
  runOptions: RunOptions<ProgressEvent> = {},
): Promise<Dataset> {
  const reporter = createReporter<ProgressEvent>(runOptions)
  const stage = reporter.stage('Measuring', undefined, 'pairs')
  const dataset = await inspectSource(source, datasetOptionsOf(settings), {
    analyzeSound: true,
    onProgress: ({ done }) => {
      stage.update(done)
      reporter.throwIfAborted()
    },
  })
  stage.finish(countText(dataset.pairs.length, 'pair'))
  return dataset
}

/** The part of the settings that decides how a dataset is used. */
export const datasetOptionsOf = (
  settings: Pick<InspectSettings, 'triggerPhrase' | 'audioDurationSeconds' | 'audioPreservePitch' | 'audioNormalize'>,
): DatasetOptions => ({
  triggerPhrase: settings.triggerPhrase,
  seconds: settings.audioDurationSeconds,
  preservePitch: settings.audioPreservePitch,
  normalize: settings.audioNormalize,
})
