/** The training itself: the loop, what is saved and previewed on the way, and what can stop it. */
import * as tf from '@tensorflow/tfjs'
import type { TrainSettings } from '../config/settings.ts'
import type { ClipDrawer, EncodedPair } from '../encode/dataset.ts'
import { openSafetensors } from '../formats/safetensors.ts'
import type { Transformer } from '../model/transformer/transformer.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'
import type { Reporter } from '../platform/progress.ts'
import { createMovingAverage } from '../platform/statistics.ts'
import { countText, listText, shellQuote } from '../platform/text.ts'
import {
  type BestLora,
  bestLora,
  describeBest,
  type EvaluatedStep,
  type Evaluation,
  hasAverage,
  hasEndedEarly,
} from './evaluation.ts'
import { type DoneEvent, lossSmoothing, type TrainEvent } from './events.ts'
import { learningVerdict } from './learning.ts'
import type { PreviewRenderer } from './previews.ts'
import { previewChanges, resumeCheckOf } from './resume-check.ts'
import { type RunFolder, savedLora } from './run-folder.ts'
import { createRunWriter, isDueAt, type WrittenRun } from './run-writer.ts'
import { NonFiniteLoss } from './step.ts'
import { createTrainer, type StepReport, type Trainer, type TrainerSettings } from './trainer.ts'

export type TrainingRun = WrittenRun & {
  model: Transformer
  pairs: readonly EncodedPair[]
  heldOut: readonly EncodedPair[]
  /** Draws clips from random places. */
  drawClip: ClipDrawer['draw'] | undefined
  previews: PreviewRenderer
}

/** What a finished run has come to; empty without held-out pairs. */
export type TrainingOutcome = Pick<DoneEvent, 'verdict' | 'best'>

/**
 * Trains from the state of the run, or from the beginning, to the last step.
 * @throws Interrupted when the signal was aborted, UserError when the disk is full or the loss is not finite. The run can be resumed after each.
 */
export async function runTraining(training: TrainingRun, reporter: Reporter<TrainEvent>): Promise<TrainingOutcome> {
  const { base, model, pairs, heldOut, run, settings, previews } = training
  const steps = settings.numberOfSteps
  const trainerSettings = trainerSettingsOf(settings)
  const trainer = createTrainer(model, pairs, trainerSettings, heldOut, training.drawClip)
  const check = resumeCheckOf(base.fingerprint, pairs, trainerSettings, heldOut)
  const writer = createRunWriter(training, trainer, check, () => evaluateWithProgress(trainer, heldOut, reporter))
  const arePreviewsDue = (step: number) => isDueAt(settings.previewInterval, step, steps) || writer.isLast(step)

  const saveCheckpoint = async () => {
    const loraPath = await writer.saveCheckpoint()
    await reporter.emit({ type: 'checkpoint', step: trainer.step, statePath: run.state, loraPath })
  }
  const emitEvaluation = async (evaluation: Evaluation) => {
    const best = bestLora(writer.evaluations)
    const isBest = best && { isBest: best.step === trainer.step }
    await reporter.emit({ type: 'evaluation', step: trainer.step, ...evaluation, ...isBest })
  }
  try {
    const { evaluation, losses, earlierPreviews } = await writer.open()
    const average = createMovingAverage(lossSmoothing)
    let smoothedLoss: number | undefined
    for (const loss of losses) smoothedLoss = average.add(loss)
    if (evaluation) await reporter.emit({ type: 'evaluation', step: 0, ...evaluation })
    if (!writer.isLast(trainer.step)) previews.discardBest()
    if (trainer.step > 0) {
      reporter.info(`Resuming after step ${trainer.step}`)
      const evaluation = await writer.evaluateMissing()
      if (evaluation) await emitEvaluation(evaluation)
      // without an evaluation: fewer steps than before were asked for, or it was stopped just here
      if (evaluation ? writer.isCheckpointDue(trainer.step) : writer.isLast(trainer.step)) await saveCheckpoint()
      if (evaluation) writer.recordEvaluation()
      await writer.saveIfBest()
      if (earlierPreviews)
        reporter.info(
          `${listText(earlierPreviews.changed, 6)} changed: earlier previews are in ${earlierPreviews.folder}`,
        )
    }
    const missing = [
      ...(settings.previewInterval > 0 ? [0] : []), // the base, which later ones are compared with
      ...(trainer.step > 0 && arePreviewsDue(trainer.step) ? [trainer.step] : []),
    ].filter((step) => !previews.isDoneAt(step))
    if (missing.length === 0 && writer.isLast(trainer.step)) reportUnusedSettings(training, trainer.step, reporter)
    for (const step of missing) {
      const render = () => tryPreviews(() => previews.renderAt(step), step, reporter)
      await (step === 0 ? withNewLora(trainer, render) : render())
    }
    const stage = reporter.stage('Training', steps, 'steps', trainer.step)
    const onStep = async (report: StepReport) => {
      const { step, loss, seconds } = report
      smoothedLoss = average.add(loss)
      const evaluation = await writer.addStep(report)
      const memoryBytes = process.memoryUsage.rss()
      const heldOutLosses = heldOutLossesOf(writer.evaluations.at(-1))
      stage.update(step, { loss: smoothedLoss, ...heldOutLosses, secondsPerStep: seconds, memoryBytes })
      await reporter.emit({ type: 'step', ...report, steps, smoothedLoss, memoryBytes })
      if (evaluation) await emitEvaluation(evaluation)
      if (writer.lacksEvaluation()) return // the run was stopped meanwhile: the resumed run does the rest of this step
      if (writer.isCheckpointDue(step)) await saveCheckpoint()
      await writer.saveIfBest()
      if (arePreviewsDue(step)) await tryPreviews(() => previews.renderAt(step), step, reporter)
    }
    const isStopped = () => reporter.signal.aborted
    await trainer.run({ onStep, shouldStop: () => isStopped() || writer.isLast(trainer.step) })
    const isComplete = writer.isLast(trainer.step) && !writer.lacksEvaluation()
    if (trainer.step > 0 && !isComplete) {
      const loraPath = await writer.saveStopped()
      await reporter.emit({ type: 'checkpoint', step: trainer.step, statePath: run.state, loraPath })
    }
    const best = isComplete ? bestLora(writer.evaluations) : undefined
    const isBestDue = () => best !== undefined && !isLastLora(best, trainer.step) && !previews.isBestDone()
    if (best && isBestDue() && !isStopped()) {
      const render = async () => {
        restoreLora(trainer, run.best)
        await previews.renderBest(best.step)
      }
      await tryPreviews(render, best.step, reporter)
    }
    if (isStopped() && (!isComplete || !previews.isDoneAt(trainer.step) || isBestDue()))
      throw new Interrupted(stoppedMessage(run, trainer.step, steps), { hint: resumeCommand(run.path) })
    stage.finish(`${countText(trainer.step, 'step')}, loss ${smoothedLoss?.toFixed(4) ?? 'unchanged'}`)
    return reportOutcome(training, trainer.step, writer.evaluations, reporter)
  } catch (error) {
    throw withResumeHint(error, trainer, run)
  } finally {
    trainer.dispose()
  }
}

/** With held-out pairs an evaluation can take minutes: it is a stage, and stops with the run. */
async function evaluateWithProgress(
  trainer: Trainer,
  heldOut: readonly EncodedPair[],
  reporter: Reporter<TrainEvent>,
): Promise<Evaluation> {
  if (heldOut.length === 0) return trainer.evaluate()
  const stage = reporter.stage(`Evaluation at step ${trainer.step}`, trainer.evaluatedLosses, 'losses')
  const evaluation = await trainer.evaluate((done) => {
    stage.update(done)
    reporter.throwIfAborted()
  })
  const { fixedLoss, heldOutLoss = Number.NaN } = evaluation
  stage.finish(`loss ${fixedLoss.toFixed(4)}, held-out ${heldOutLoss.toFixed(4)}`)
  return evaluation
}

export const trainerSettingsOf = (settings: TrainSettings): TrainerSettings => ({
  rank: settings.rank,
  alpha: settings.alpha,
  targetModules: settings.targetModules,
  seed: settings.seed,
  steps: settings.numberOfSteps,
  learningRate: settings.learningRate,
  schedule: settings.learningRateSchedule,
  accumulation: settings.gradientAccumulation,
  ema: settings.ema,
})

/** The latest held-out losses, as they stand beside the progress. */
const heldOutLossesOf = ({ heldOutLoss, emaHeldOutLoss }: Partial<EvaluatedStep> = {}) => ({
  ...(heldOutLoss !== undefined && { heldOutLoss }),
  ...(emaHeldOutLoss !== undefined && { emaHeldOutLoss }),
})

/** Whether the previews of the last step are those of the best LoRA. */
const isLastLora = ({ step, isAverage }: BestLora, lastStep: number) => step === lastStep && !isAverage

/** Says what the losses of a finished run mean, and why it ended early if it did. */
function reportOutcome(
  { run, settings, heldOut }: TrainingRun,
  step: number,
  evaluations: readonly EvaluatedStep[],
  reporter: Reporter<TrainEvent>,
): TrainingOutcome {
  if (heldOut.length === 0) return {}
  const best = bestLora(evaluations)
  const endedEarly = hasEndedEarly(evaluations, settings)
  if (best && endedEarly)
    reporter.info(
      `Stopped early after step ${step} of ${settings.numberOfSteps}: in ${countText(settings.patience, 'evaluation')} ${patientText(best, evaluations)}; ${resumeCommand(run.path)} --patience 0 continues`,
    )
  const verdict = learningVerdict(evaluations, { endedEarly })
  reporter.info(verdict.sentence)
  if (!best) return { verdict }
  reporter.info(`The LoRA to use: ${run.best}, ${describeBest(best, evaluations)}`)
  return { verdict, best: { ...best, path: run.best } }
}

/** What patience has waited for: a loss below the lowest one, of the LoRA or of its moving average. */
function patientText({ step, heldOutLoss, isAverage }: BestLora, evaluations: readonly EvaluatedStep[]): string {
  const lowest = heldOutLoss.toFixed(4)
  return hasAverage(evaluations)
    ? `neither the held-out loss of the LoRA nor that of its moving average has fallen below ${lowest}, that of the ${isAverage ? 'moving average' : 'LoRA'} at step ${step}`
    : `the held-out loss has not fallen below ${lowest}, that of step ${step}`
}

/** Says that a finished run has no use for changed settings of previews. */
function reportUnusedSettings(
  { previous, settings, renderer, heldOut }: TrainingRun,
  step: number,
  reporter: Reporter<TrainEvent>,
) {
  const changed = previous ? previewChanges(previous, { settings, renderer }, ['preview_interval']) : []
  if (changed.length === 0) return
  const { numberOfSteps, validation, holdoutPreviews } = settings
  const hasPreviews = validation.length > 0 || (heldOut.length > 0 && holdoutPreviews > 0)
  const end = step < numberOfSteps ? `the run ended early at step ${step}` : `all ${numberOfSteps} steps are done`
  const why = hasPreviews ? `${end}, and the preview of the last one exists` : 'the run has no --validation-reference'
  reporter.info(`No previews are rendered with the changed ${listText(changed, 6)}: ${why}`)
}

/** Works with the LoRA of step 0, whose B is zero: with the base. */
async function withNewLora({ parameters, step }: Trainer, work: () => Promise<void>) {
  const trained = step === 0 ? [] : [...parameters].filter(([name]) => name.endsWith('.lora_B.weight'))
  const saved = trained.map(([, variable]) => ({ variable, value: variable.clone() }))
  try {
    for (const { variable } of saved) assign(variable, tf.zeros(variable.shape))
    await work()
  } finally {
    for (const { variable, value } of saved) assign(variable, value)
  }
}

/** Gives the LoRA the factors of a file of this run, one at a time. The LoRA that it had is lost: nothing can be trained after this. */
function restoreLora({ parameters, scale }: Trainer, path: string) {
  const file = openSafetensors(path)
  try {
    for (const [name, variable] of parameters) {
      const values = file.float32(name)
      const factor = name.endsWith('.lora_B.weight') ? values.map((value) => value / scale) : values
      assign(variable, tf.tensor(factor, variable.shape))
    }
  } finally {
    file.close()
  }
}

/** Sets the variable, and disposes of the value. */
function assign(variable: tf.Variable, value: tf.Tensor) {
  variable.assign(value)
  value.dispose()
}

/** A preview that fails must not stop the training; a listener that fails ends it. */
async function tryPreviews(render: () => Promise<void>, step: number, reporter: Reporter<TrainEvent>) {
  try {
    await render()
  } catch (error) {
    await reporter.settled() // throws the error of a listener
    if (error instanceof Interrupted) return // the training loop stops next, and saves
    reporter.warn(`the preview at step ${step} failed: ${(error as Error).message}`)
  }
}

/** What stopped a run from outside or inside, with how to resume it from its last state. */
function withResumeHint(error: unknown, { step }: Trainer, { path }: RunFolder): unknown {
  if (isDiskFull(error))
    return new UserError(`there is no room for ${path}: the run stops after step ${step}`, {
      hint: `make room, then resume from the last state: ${resumeCommand(path)}`,
      cause: error,
      code: 'machine_error',
    })
  if (error instanceof NonFiniteLoss)
    return new UserError(`training diverged at step ${step + 1}${placeOf(error)}: ${error.message}`, {
      hint: `the step was not applied; resume with a smaller learning rate: ${resumeCommand(path)} --learning-rate <number>`,
      cause: error,
      parameter: 'learning_rate',
    })
  return error
}

/** ", at sigma 0.871 of the pair drums" */
function placeOf({ examples }: NonFiniteLoss): string {
  const places = examples.map(({ sigma, pair }) => `sigma ${sigma.toFixed(3)} of the pair ${pair}`)
  return places.length > 0 ? `, at ${places.join(' or ')}` : ''
}

export function stoppedMessage(run: RunFolder, step: number, steps: number): string {
  if (step === 0) return 'stopped before training began'
  const lora = savedLora(run, step)
  return `stopped after step ${step} of ${steps}; the run is saved${lora === undefined ? '' : `, with the LoRA so far in ${lora}`}`
}

export const resumeCommand = (path: string) => `ltx-a2a train --resume ${shellQuote(path)}`
