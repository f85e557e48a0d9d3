/** The training itself: the loop, what is written on the way, and what can stop it. */

import type { Interruption } from '../cli/signals.ts'
import type { Terminal } from '../cli/terminal/terminal.ts'
import type { TrainSettings } from '../config/settings.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'
import { identityOf } from './resume-check.ts'
import type { RunFolder } from './run-folder.ts'
import { createRecord, isAt } from './run-record.ts'
import { NonFiniteLoss } from './step.ts'
import { createTrainer, type EncodedPair, type StepReport, type Trainer } from './trainer.ts'
import type { Validation } from './validation.ts'

export type Training = {
  base: BaseModel
  model: Transformer
  pairs: readonly EncodedPair[]
  /** Locked. */
  run: RunFolder
  settings: TrainSettings
  /** The settings of a run that is resumed, as they were so far. */
  before?: TrainSettings | undefined
  validation: Validation
  /** Called when there may be something new to show. */
  onProgress?: () => Promise<void>
}

/**
 * Trains from the run's state, or from the beginning, to the last step.
 * @throws Interrupted when asked to stop, UserError when the disk is full or the loss leaves the numbers. The run can be resumed after each.
 */
export async function trainLora(training: Training, terminal: Terminal, interruption: Interruption): Promise<void> {
  const { base, model, pairs, run, settings, validation } = training
  const steps = settings.numberOfSteps
  const trainerSettings = trainerSettingsOf(settings)
  const trainer = createTrainer(model, pairs, trainerSettings)
  const record = createRecord(training, trainer, identityOf(base.fingerprint, pairs, trainerSettings))
  const arePreviewsDue = (step: number) => isAt(settings.previewInterval, step, steps)
  try {
    record.open()
    if (trainer.step > 0) {
      terminal.note(`Resuming after step ${trainer.step}`)
      if (trainer.step === steps) record.save() // fewer steps were asked for than before, or it was stopped just here
      if (arePreviewsDue(trainer.step) && !validation.isDoneAt(trainer.step))
        await tryPreviews(validation, trainer.step, terminal)
    } else if (settings.previewInterval > 0 && !validation.isDoneAt(0)) await tryPreviews(validation, 0, terminal) // the base
    const stage = terminal.stage('Training', steps, 'steps')
    let smoothed: number | undefined
    const onStep = async (report: StepReport) => {
      const { step, loss, seconds } = report
      smoothed = smoothed === undefined ? loss : smoothed + (loss - smoothed) * smoothing
      record.add(report)
      stage.update(step, { loss: smoothed.toFixed(4), 's/step': seconds.toFixed(2), memory: gigabytesInUse() })
      if (record.isDue(step)) record.save()
      if (arePreviewsDue(step)) await tryPreviews(validation, step, terminal)
      await training.onProgress?.()
    }
    await trainer.run({ onStep, shouldStop: interruption.requested })
    if (trainer.step < steps) record.saveState()
    if (interruption.requested() && (trainer.step < steps || !validation.isDoneAt(steps)))
      throw interruption.stopped(
        `stopped after step ${trainer.step} of ${steps}; the run is saved`,
        resumeCommand(run.path),
      )
    stage.done(`${steps} steps, loss ${smoothed?.toFixed(4) ?? 'as it was'}`)
  } catch (error) {
    throw explained(error, trainer, run)
  }
  trainer.dispose()
}

const trainerSettingsOf = (settings: TrainSettings) => ({
  rank: settings.rank,
  alpha: settings.alpha,
  targetModules: settings.targetModules,
  seed: settings.seed,
  steps: settings.numberOfSteps,
  learningRate: settings.learningRate,
  schedule: settings.learningRateSchedule,
  accumulation: settings.gradientAccumulation,
})

const gigabytesInUse = () => `${(process.memoryUsage.rss() / 1e9).toFixed(2)} GB`

/** About the last fifty steps. */
const smoothing = 0.04

/** A preview that fails must not cost the training. */
async function tryPreviews(validation: Validation, step: number, terminal: Terminal) {
  try {
    await validation.previewAt(step)
  } catch (error) {
    if (error instanceof Interrupted) return // the training loop is asked next, and saves
    terminal.warn(`the preview at step ${step} failed: ${(error as Error).message}`)
  }
}

/** What stops a run from outside or inside, with how to go on from its last state. */
function explained(error: unknown, { step }: Trainer, { path }: RunFolder): unknown {
  if (isDiskFull(error))
    return new UserError(`there is no room for ${path}: the run stops after step ${step}`, {
      hint: `make room, then go on from the last state: ${resumeCommand(path)}`,
      cause: error,
    })
  if (error instanceof NonFiniteLoss)
    return new UserError(`training diverged at step ${step + 1}${whereOf(error)}: ${error.message}`, {
      hint: `nothing of that step was kept; go on with a smaller rate: ${resumeCommand(path)} --learning-rate <number>`,
      cause: error,
    })
  return error
}

/** ", at sigma 0.871 of the pair drums" */
function whereOf({ examples }: NonFiniteLoss): string {
  const places = examples.map(({ sigma, pair }) => `sigma ${sigma.toFixed(3)} of the pair ${pair}`)
  return places.length > 0 ? `, at ${places.join(' or ')}` : ''
}

const resumeCommand = (path: string) => `ltx-a2a train --resume ${quoted(path)}`

/** As a shell wants it. */
const quoted = (path: string) => (/^[\w@%+=:,./\\~-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)
