/** The training itself, with everything that is written while it goes: metrics, checkpoints, the state, previews, the LoRA. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { float32Bytes } from '../checkpoint/dtypes.ts'
import { writeLora } from '../checkpoint/lora-file.ts'
import type { TrainSettings } from '../config/train-settings.ts'
import { Interrupted, UserError } from '../errors.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import type { Terminal } from '../report/terminal.ts'
import { appendMetrics, type RunFolder, truncateMetrics } from '../train/run-folder.ts'
import { restoreState, saveState } from '../train/saved-state.ts'
import { NonFiniteLoss } from '../train/step.ts'
import { createTrainer, type EncodedPair, type StepReport, type Trainer } from '../train/trainer.ts'
import { toolVersion } from '../version.ts'
import type { Interruption } from './interruption.ts'
import type { Validation } from './validation.ts'

export type Training = {
  base: BaseModel
  model: Transformer
  pairs: readonly EncodedPair[]
  run: RunFolder
  settings: TrainSettings
  validation: Validation
}

/** @throws Interrupted when asked to stop; the state is saved then, as it is at every checkpoint. */
export async function trainLora(training: Training, terminal: Terminal, interruption: Interruption): Promise<void> {
  const { model, pairs, run, settings, validation } = training
  const steps = settings.numberOfSteps
  const trainer = createTrainer(model, pairs, {
    rank: settings.rank,
    alpha: settings.alpha,
    targetModules: settings.targetModules,
    seed: settings.seed,
    steps,
    learningRate: settings.learningRate,
    schedule: settings.learningRateSchedule,
    accumulation: settings.gradientAccumulation,
  })
  const identity = identityOf(training)
  if (existsSync(run.state)) goOn(trainer, run, identity, terminal)
  else begin(trainer, run)

  const stage = terminal.stage('Training', steps, 'steps')
  let smoothed: number | undefined
  const onStep = async (report: StepReport) => {
    const { step, loss, seconds } = report
    smoothed = smoothed === undefined ? loss : smoothed + (loss - smoothed) * smoothing
    const isLast = step === steps
    const isDue = (interval: number) => isLast || (interval > 0 && step % interval === 0)
    const saves = isDue(settings.checkpointInterval)
    appendMetrics(run, { ...metricsOf(report), ...(saves && { fixed_loss: trainer.fixedLoss() }) })
    stage.update(step, { loss: smoothed.toFixed(4), 's/step': seconds.toFixed(2) })
    if (saves) {
      saveState(run.state, trainer, identity)
      saveLora(isLast ? run.lora : run.checkpoint(step), training, trainer)
    }
    if (isDue(settings.previewInterval)) await tryPreviews(validation, step, terminal)
  }
  try {
    await trainer.run({ onStep, shouldStop: interruption.requested })
  } catch (error) {
    throw error instanceof NonFiniteLoss ? explained(error, trainer, run) : error
  }
  if (trainer.step < steps) {
    saveState(run.state, trainer, identity)
    throw new Interrupted(
      `stopped after step ${trainer.step} of ${steps}; the run is saved`,
      `ltx-a2a train --resume ${run.path}`,
    )
  }
  stage.done(`${steps} steps, loss ${smoothed?.toFixed(4) ?? 'as it was'}`)
  trainer.dispose()
}

const metricsOf = ({ step, loss, learningRate, gradientNorm, sigmas, pairs, seconds }: StepReport) => ({
  step,
  loss,
  learning_rate: learningRate,
  gradient_norm: gradientNorm,
  sigmas,
  pairs,
  seconds,
})

/** About the last fifty steps. */
const smoothing = 0.04

function begin(trainer: Trainer, run: RunFolder) {
  truncateMetrics(run, -1) // of an attempt that ended before its first checkpoint
  appendMetrics(run, { step: 0, fixed_loss: trainer.fixedLoss() })
}

function goOn(trainer: Trainer, run: RunFolder, identity: string, terminal: Terminal) {
  restoreState(run.state, trainer, identity)
  truncateMetrics(run, trainer.step)
  terminal.note(`Resuming after step ${trainer.step}`)
}

/** Whatever must be as it was for a resumed run to be the same run: everything but where it is written and how often. */
function identityOf({ base, pairs, settings }: Training): string {
  const data = createHash('sha256')
  for (const { name, target, reference, context } of pairs)
    for (const { values } of [target, reference, context]) data.update(name).update(float32Bytes(values))
  const { rank, alpha, targetModules, numberOfSteps, learningRate, learningRateSchedule, gradientAccumulation, seed } =
    settings
  const training = {
    rank,
    alpha,
    targetModules,
    numberOfSteps,
    learningRate,
    learningRateSchedule,
    gradientAccumulation,
    seed,
  }
  return JSON.stringify({ base: base.fingerprint, data: data.digest('hex').slice(0, 16), ...training })
}

function saveLora(path: string, { base, settings }: Training, { parameters, step }: Trainer) {
  const factors = new Map(
    [...parameters].map(([name, variable]) => [
      name,
      { shape: variable.shape, values: variable.dataSync() as Float32Array },
    ]),
  )
  writeLora(path, factors, settings.alpha / settings.rank, {
    rank: settings.rank,
    alpha: settings.alpha,
    triggerPhrase: settings.triggerPhrase,
    baseModel: base.fingerprint,
    referencePositions: 'overlapping',
    durationSeconds: settings.audioDurationSeconds,
    steps: step,
    toolVersion,
  })
}

/** A preview that fails must not cost the training. */
async function tryPreviews(validation: Validation, step: number, terminal: Terminal) {
  try {
    await validation.previewAt(step)
  } catch (error) {
    if (error instanceof Interrupted) return // the training loop is asked next, and saves
    terminal.warn(`the preview at step ${step} failed: ${(error as Error).message}`)
  }
}

const explained = (cause: NonFiniteLoss, { step }: Trainer, { path }: RunFolder) =>
  new UserError(`training diverged at step ${step + 1}: ${cause.message}; nothing of that step was kept`, {
    hint: `start again with a smaller --learning-rate; the last checkpoint is in ${path}`,
    cause,
  })
