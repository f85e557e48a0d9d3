/** The last line of a run. */
import { existsSync } from 'node:fs'
import type { TrainSettings } from '../config/train-settings.ts'
import { durationText } from '../report/progress.ts'
import type { RunFolder } from '../train/run-folder.ts'

/** What the hosted trainer asks per step, and the fewest steps it charges for. */
const hostedDollarsPerStep = 0.0023
const hostedFewestSteps = 100

/** The files, the time, and what the hosted trainer would have charged. */
export function trainingSummary(run: RunFolder, { numberOfSteps }: TrainSettings, seconds: number): string {
  const files = [run.lora, run.audio, run.report, run.config, run.metrics, run.debugDataset].filter((path) =>
    existsSync(path),
  )
  const dollars = Math.max(hostedFewestSteps, numberOfSteps) * hostedDollarsPerStep
  return `Done in ${durationText(seconds)}: ${files.join(', ')}. The hosted trainer would have charged $${dollars.toFixed(2)}.`
}
