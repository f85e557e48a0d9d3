/**
 * What a run writes while it trains. The order makes a kill at any point harmless: the metrics and the LoRA of a step come first, then the state
 * that vouches for them. Whatever a resumed run finds beyond its state, it computes again, to the same bytes.
 */
import { existsSync } from 'node:fs'
import type { TrainSettings } from '../config/settings.ts'
import type { BaseModel } from '../model/base-model.ts'
import { writeTrainedLora } from '../model/lora-file.ts'
import { UserError } from '../platform/errors.ts'
import { toolVersion } from '../platform/version.ts'
import { type ResumeCheck, settingsChange } from './resume-check.ts'
import {
  appendMetrics,
  type RunFolder,
  recordChange,
  removeLeftovers,
  syncMetrics,
  truncateMetrics,
} from './run-folder.ts'
import { restoreState, saveState } from './state.ts'
import type { StepReport, Trainer } from './trainer.ts'

export type RunWriter = {
  /** Starts the metrics of a new run, or restores the trainer to the saved state of an interrupted one. @returns the fixed loss of a new run. */
  open(): number | undefined
  /** Appends a step to the metrics. @returns the fixed loss, where it is evaluated at this step. */
  addStep(report: StepReport): number | undefined
  /** Whether the LoRA is saved at this step. */
  isCheckpointDue(step: number): boolean
  /** Saves the LoRA, under its final name after the last step, and then the state. @returns the path of the LoRA. */
  saveCheckpoint(): string
  /** Saves the state only: enough to resume from here. */
  saveState(): void
}

export type WrittenRun = {
  /** Locked. */
  run: RunFolder
  base: BaseModel
  settings: TrainSettings
  /** The settings of a resumed run before it was resumed. */
  previousSettings?: TrainSettings | undefined
}

/** @param check what the state of this run must have been saved with. */
export function createRunWriter(
  { run, base, settings, previousSettings }: WrittenRun,
  trainer: Trainer,
  check: ResumeCheck,
): RunWriter {
  const isCheckpointDue = (step: number) => isDueAt(settings.checkpointInterval, step, settings.numberOfSteps)

  const start = () => {
    truncateMetrics(run, -1) // of an attempt that ended before its first checkpoint
    const fixedLoss = trainer.fixedLoss()
    appendMetrics(run, { step: 0, fixed_loss: fixedLoss })
    return fixedLoss
  }
  const resume = () => {
    restoreState(run.state, trainer, check)
    if (trainer.step > settings.numberOfSteps)
      throw new UserError(
        `${run.path} has done ${trainer.step} steps, more than the number_of_steps ${settings.numberOfSteps}`,
        { hint: `resume with --number-of-steps ${trainer.step} or more` },
      )
    truncateMetrics(run, trainer.step)
    return undefined
  }
  const recordSettingsChange = () => {
    const change = previousSettings && settingsChange(previousSettings, settings)
    if (change) recordChange(run, { after_step: trainer.step, changed: change.changed }, change.parameters)
  }
  const saveStateNow = () => {
    syncMetrics(run)
    saveState(run.state, trainer, check)
  }

  return {
    open: () => {
      removeLeftovers(run)
      const fixedLoss = existsSync(run.state) ? resume() : start()
      recordSettingsChange()
      return fixedLoss
    },
    addStep: (report) => {
      const fixedLoss = isCheckpointDue(report.step) ? trainer.fixedLoss() : undefined
      appendMetrics(run, { ...metricsOf(report), ...(fixedLoss !== undefined && { fixed_loss: fixedLoss }) })
      return fixedLoss
    },
    isCheckpointDue,
    saveCheckpoint: () => {
      const path = trainer.step === settings.numberOfSteps ? run.lora : run.checkpoint(trainer.step)
      saveLora(path, { base, settings }, trainer)
      saveStateNow()
      return path
    },
    saveState: saveStateNow,
  }
}

/** Every `interval` steps, and after the last step. */
export const isDueAt = (interval: number, step: number, steps: number) =>
  step === steps || (interval > 0 && step > 0 && step % interval === 0)

const metricsOf = ({ step, loss, learningRate, gradientNorm, sigmas, pairs, seconds }: StepReport) => ({
  step,
  loss,
  learning_rate: learningRate,
  gradient_norm: gradientNorm,
  sigmas,
  pairs,
  seconds,
})

function saveLora(
  path: string,
  { base, settings }: Pick<WrittenRun, 'base' | 'settings'>,
  { parameters, step }: Trainer,
) {
  const factors = new Map(
    [...parameters].map(([name, variable]) => [
      name,
      {
        shape: variable.shape,
        get values() {
          return variable.dataSync<'float32'>()
        },
      },
    ]),
  )
  writeTrainedLora(path, factors, settings.alpha / settings.rank, {
    rank: settings.rank,
    alpha: settings.alpha,
    triggerPhrase: settings.triggerPhrase,
    baseModel: base.fingerprint,
    referencePositions: 'overlapping',
    durationSeconds: settings.audioDurationSeconds,
    normalized: settings.audioNormalize,
    steps: step,
    toolVersion,
  })
}
