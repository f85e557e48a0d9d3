/**
 * What a run writes while it trains. The metrics and the checkpoint of a step are written before its state, so the process can be killed at any time: a
 * resumed run repeats the steps after its last state, and writes the same bytes. The LoRA of a stopped run is replaced when it is finished. The state
 * holds parameters, moments and the number of steps.
 */
import { existsSync } from 'node:fs'
import * as tf from '@tensorflow/tfjs'
import type { TrainSettings } from '../config/settings.ts'
import { float32Bytes } from '../formats/dtypes.ts'
import { openSafetensors, type Safetensors, type StoredTensor, writeSafetensors } from '../formats/safetensors.ts'
import type { BaseModel } from '../model/base-model.ts'
import { writeTrainedLora } from '../model/lora-file.ts'
import { UserError } from '../platform/errors.ts'
import { toolVersion } from '../platform/version.ts'
import { differences, parseResumeCheck, previewChanges, type ResumeCheck, settingsChange } from './resume-check.ts'
import {
  appendMetrics,
  type RunFolder,
  readLosses,
  recordChange,
  removeLeftovers,
  removeOldCheckpoints,
  setPreviewsAside,
  syncMetrics,
  truncateMetrics,
} from './run-folder.ts'
import type { StepReport, Trainer } from './trainer.ts'

export type RunWriter = {
  /** Starts the metrics of a new run, or restores the trainer to the saved state of an interrupted one. */
  open(): OpenedRun
  /** Appends a step to the metrics. @returns the fixed loss, where it is evaluated at this step. */
  addStep(report: StepReport): number | undefined
  /** Whether the LoRA is saved at this step. */
  isCheckpointDue(step: number): boolean
  /** Saves the LoRA, under its final name after the last step, then the state, and removes old checkpoints. @returns the path of the LoRA. */
  saveCheckpoint(): string
  /** Saves the state of a run that was stopped, and then the LoRA so far under its final name. @returns the path of the LoRA. */
  saveStopped(): string
}

export type OpenedRun = {
  /** Of a new run, before its first step. */
  fixedLoss?: number
  /** The losses of the steps that a resumed run has done. */
  losses: readonly number[]
  /** Where previews are now that were rendered with other settings. */
  earlierPreviews?: { folder: string; changed: readonly string[] }
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
    return { fixedLoss, losses: [] }
  }
  const resume = () => {
    restoreState(run.state, trainer, check)
    if (trainer.step > settings.numberOfSteps)
      throw new UserError(
        `${run.path} has done ${trainer.step} steps, more than the number_of_steps ${settings.numberOfSteps}`,
        { hint: `resume with --number-of-steps ${trainer.step} or more` },
      )
    truncateMetrics(run, trainer.step)
    return { losses: readLosses(run) }
  }
  /** Before the change is recorded, so that a process that is killed in between does it again. */
  const setOtherPreviewsAside = () => {
    const changed = previousSettings ? previewChanges(previousSettings, settings) : []
    const folder = changed.length > 0 ? setPreviewsAside(run, trainer.step) : undefined
    return folder === undefined ? undefined : { folder, changed }
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
      const opened = existsSync(run.state) ? resume() : start()
      const earlierPreviews = setOtherPreviewsAside()
      recordSettingsChange()
      return { ...opened, ...(earlierPreviews && { earlierPreviews }) }
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
      removeOldCheckpoints(run, settings.keepCheckpoints, trainer.step)
      return path
    },
    saveStopped: () => {
      saveStateNow()
      saveLora(run.lora, { base, settings }, trainer)
      return run.lora
    },
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

/** Replaces the state atomically: the previous one stays until the new one is complete. Variables are read from TensorFlow.js one at a time. */
export function saveState(path: string, trainer: Trainer, check: ResumeCheck) {
  const tensors = new Map<string, StoredTensor>()
  for (const [name, variable] of stateVariables(trainer))
    tensors.set(name, {
      dtype: 'F32',
      shape: variable.shape,
      get bytes() {
        return float32Bytes(variable.dataSync<'float32'>())
      },
    })
  const counts = { step: String(trainer.step), updates: String(trainer.optimizer.updates) }
  writeSafetensors(path, tensors, { ...counts, identity: JSON.stringify(check) })
}

/**
 * Restores a saved state into a new trainer, completely or not at all.
 * @throws UserError when the state belongs to another training, naming what differs, or is incomplete.
 */
export function restoreState(path: string, trainer: Trainer, check: ResumeCheck) {
  const file = openSafetensors(path)
  try {
    requireSame(path, file, check)
    const counts = { step: countIn(file, 'step'), updates: countIn(file, 'updates') }
    const variables = stateVariables(trainer)
    for (const [name, { shape }] of variables) requireTensor(file, name, shape)
    for (const [name, variable] of variables) {
      const saved = tf.tensor(file.float32(name), variable.shape)
      variable.assign(saved)
      saved.dispose()
    }
    trainer.step = counts.step
    trainer.optimizer.updates = counts.updates
  } finally {
    file.close()
  }
}

/** The number of steps of a saved state; 0 where there is none that can be read. */
export function savedStep(path: string): number {
  if (!existsSync(path)) return 0
  try {
    const file = openSafetensors(path)
    file.close()
    return countIn(file, 'step')
  } catch {
    return 0 // restoring the state reports what is wrong with it
  }
}

function stateVariables({ parameters, optimizer }: Trainer): [string, tf.Variable][] {
  const moment = (of: string, variables: ReadonlyMap<string, tf.Variable>): [string, tf.Variable][] =>
    [...variables].map(([name, variable]) => [`${of}.${name}`, variable])
  return [...parameters, ...moment('first', optimizer.first), ...moment('second', optimizer.second)]
}

function requireSame(path: string, { metadata }: Safetensors, check: ResumeCheck) {
  const saved = parseResumeCheck(metadata.identity ?? '')
  if (!saved) throw broken(path, 'it does not say which run it belongs to')
  const differ = differences(saved, check)
  if (differ.length > 0)
    throw new UserError(`${path} is of another training: ${differ.join('; ')}`, {
      hint: 'resume with what the run was started with, or start a new one',
    })
}

function countIn({ path, metadata }: Safetensors, name: string): number {
  const count = metadata[name] ?? ''
  if (!/^\d{1,9}$/.test(count)) throw broken(path, `its ${name} is ${JSON.stringify(count)}`)
  return Number(count)
}

function requireTensor({ path, tensors }: Safetensors, name: string, shape: readonly number[]) {
  const info = tensors.get(name)
  if (!info) throw broken(path, `it lacks ${name}`)
  if (info.dtype !== 'F32' || String(info.shape) !== String(shape))
    throw broken(path, `${name} is ${info.dtype} [${info.shape}], not F32 [${shape}]`)
}

const broken = (path: string, why: string) =>
  new UserError(`${path} is not a usable state: ${why}`, { hint: 'remove it to begin the run anew' })
