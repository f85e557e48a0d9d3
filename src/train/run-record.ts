/**
 * What is written while a run goes. The order makes a kill at any point harmless: the metrics and the LoRA of a step come first, then the state,
 * which vouches for them. What a resumed run finds beyond its state it does again, to the same bytes.
 */
import { existsSync } from 'node:fs'
import { writeLora } from '../model/lora-file.ts'
import { UserError } from '../platform/errors.ts'
import { toolVersion } from '../platform/version.ts'
import type { Identity } from './resume-check.ts'
import { settingsChange } from './resume-check.ts'
import { appendMetrics, recordChange, sweep, syncMetrics, truncateMetrics } from './run-folder.ts'
import { restoreState, saveState } from './state.ts'
import type { Training } from './train-lora.ts'
import type { StepReport, Trainer } from './trainer.ts'

export type RunRecord = {
  /** Begins the record, or puts the trainer back to where its state was saved. */
  open(): void
  /** Writes down a step. */
  add(report: StepReport): void
  /** Whether the LoRA is to be saved at this step. */
  isDue(step: number): boolean
  /** The LoRA as it is now, under its final name after the last step, and then the state. */
  save(): void
  /** Only the state: enough to go on from here. */
  saveState(): void
}

/** @param identity what the state of this run must have been saved with. */
export function createRecord(training: Training, trainer: Trainer, identity: Identity): RunRecord {
  const { run, settings, before } = training
  const isDue = (step: number) => isAt(settings.checkpointInterval, step, settings.numberOfSteps)

  const begin = () => {
    truncateMetrics(run, -1) // of an attempt that ended before its first checkpoint
    appendMetrics(run, { step: 0, fixed_loss: trainer.fixedLoss() })
  }
  const goOn = () => {
    restoreState(run.state, trainer, identity)
    if (trainer.step > settings.numberOfSteps)
      throw new UserError(
        `${run.path} has done ${trainer.step} steps, more than the number_of_steps ${settings.numberOfSteps}`,
        { hint: `resume with --number-of-steps ${trainer.step} or more` },
      )
    truncateMetrics(run, trainer.step)
  }
  const noteChange = () => {
    const change = before && settingsChange(before, settings)
    if (change) recordChange(run, { after_step: trainer.step, changed: change.changed }, change.parameters)
  }
  const saveStateNow = () => {
    syncMetrics(run)
    saveState(run.state, trainer, identity)
  }

  return {
    open: () => {
      sweep(run)
      if (existsSync(run.state)) goOn()
      else begin()
      noteChange()
    },
    add: (report) =>
      appendMetrics(run, { ...metricsOf(report), ...(isDue(report.step) && { fixed_loss: trainer.fixedLoss() }) }),
    isDue,
    save: () => {
      const isLast = trainer.step === settings.numberOfSteps
      saveLora(isLast ? run.lora : run.checkpoint(trainer.step), training, trainer)
      saveStateNow()
    },
    saveState: saveStateNow,
  }
}

/** Every `interval` steps, and after the last. */
export const isAt = (interval: number, step: number, steps: number) =>
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

function saveLora(path: string, { base, settings }: Training, { parameters, step }: Trainer) {
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
  writeLora(path, factors, settings.alpha / settings.rank, {
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
