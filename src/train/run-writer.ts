/**
 * What a run writes while it trains. The metrics and the checkpoint of a step are written before its state, so the process can be killed at any time: a
 * resumed run repeats the steps after its last state, and writes the same bytes. The LoRA of a stopped run is replaced when it is finished. The state
 * holds parameters, moments, the moving average and the number of steps.
 *
 * `best.safetensors` is written after the state of its step. Were it written before, a run that was killed in between would have lost the best LoRA so far.
 * In this order the state is of the very step whose best LoRA is missing, so the resumed run writes it again.
 */
import { existsSync } from 'node:fs'
import * as tf from '@tensorflow/tfjs'
import type { TrainSettings } from '../config/settings.ts'
import { float32Bytes } from '../formats/dtypes.ts'
import { openSafetensors, type ReadableTensor, type Safetensors, writeReadableTensors } from '../formats/safetensors.ts'
import { type BaseModel, isFingerprintOf } from '../model/base-model.ts'
import { writeTrainedLora } from '../model/lora-file.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { toolVersion } from '../platform/version.ts'
import type { RendererName } from '../preview/renderer.ts'
import {
  bestLora,
  type EvaluatedStep,
  type Evaluation,
  evaluationInterval,
  evaluationMetrics,
  evaluationOf,
  isStalled,
} from './evaluation.ts'
import {
  differences,
  type PreviewConditions,
  parseResumeCheck,
  previewChanges,
  type ResumeCheck,
  settingsChange,
} from './resume-check.ts'
import {
  appendMetrics,
  lossesOf,
  originOf,
  type RunFolder,
  readMetrics,
  recordChange,
  removeLeftovers,
  removeOldCheckpoints,
  replaceLastMetrics,
  setPreviewsAside,
  syncMetrics,
  truncateMetrics,
} from './run-folder.ts'
import type { StepReport, Trainer } from './trainer.ts'

export type RunWriter = {
  /** Starts the metrics of a new run, or restores the trainer to the saved state of an interrupted one. */
  open(): Promise<OpenedRun>
  /** Appends a step to the metrics. @returns the evaluation, where there is one at this step and the run was not stopped meanwhile. */
  addStep(report: StepReport): Promise<Evaluation | undefined>
  /**
   * Evaluates the last step that is done, if that is missing: the run was stopped meanwhile, or this step has become the last one. What follows an evaluation
   * is done next, then `recordEvaluation`.
   */
  evaluateMissing(): Promise<Evaluation | undefined>
  /** Adds the evaluation of the last step to its line of the metrics. */
  recordEvaluation(): void
  /** Whether the evaluation of the last step is missing. */
  lacksEvaluation(): boolean
  /** All evaluations so far. */
  readonly evaluations: readonly EvaluatedStep[]
  /** Whether this is the last step: the run has all its steps, or the held-out loss has not fallen for too long. */
  isLast(step: number): boolean
  /** Whether the LoRA is saved at this step. */
  isCheckpointDue(step: number): boolean
  /** Saves the LoRA, under its final name after the last step, then the state, and removes old checkpoints. @returns the path of the LoRA. */
  saveCheckpoint(): Promise<string>
  /** Saves the LoRA as the best one if it is, and before it the state, unless this step was saved. */
  saveIfBest(): Promise<void>
  /** Saves the state of a run that was stopped, and then the LoRA so far under its final name. @returns the path of the LoRA. */
  saveStopped(): Promise<string>
}

export type OpenedRun = {
  /** Of a new run, before its first step. */
  evaluation?: Evaluation
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
  /** For the metadata of its LoRAs. */
  exampleCaption?: string | undefined
  /** What makes the sound of its previews. */
  renderer: RendererName
  /** Of a resumed run: how it was before. */
  previous?: PreviewConditions | undefined
}

/**
 * @param check what the state of this run must have been saved with.
 * @param evaluateStep evaluates the trainer. @throws Interrupted when the run is stopped meanwhile.
 */
export function createRunWriter(
  { run, base, settings, exampleCaption, renderer, previous }: WrittenRun,
  trainer: Trainer,
  check: ResumeCheck,
  evaluateStep: () => Promise<Evaluation> = () => trainer.evaluate(),
): RunWriter {
  const evaluations: EvaluatedStep[] = []
  let savedStep: number | undefined
  const isLast = (step: number) => step === settings.numberOfSteps || isStalled(evaluations, settings.patience)
  const isCheckpointDue = (step: number) => isDueAt(settings.checkpointInterval, step, settings.numberOfSteps)
  const isEvaluationDue = (step: number) => isDueAt(evaluationInterval(settings), step, settings.numberOfSteps)

  const evaluate = async () => {
    const evaluation = await evaluateStep()
    evaluations.push({ step: trainer.step, ...evaluation })
    return evaluation
  }
  const lacksEvaluation = () => isEvaluationDue(trainer.step) && evaluations.at(-1)?.step !== trainer.step
  const start = async () => {
    truncateMetrics(run, -1) // of an attempt that ended before its first checkpoint
    const evaluation = await evaluate()
    appendMetrics(run, { step: 0, ...evaluationMetrics(evaluation) })
    return { evaluation, losses: [] }
  }
  const resume = async () => {
    restoreState(run.state, trainer, check)
    if (trainer.step > settings.numberOfSteps)
      throw new UserError(
        `${run.path} has done ${trainer.step} steps, more than the number_of_steps ${settings.numberOfSteps}`,
        { hint: `resume with --number-of-steps ${trainer.step} or more`, parameter: 'number_of_steps' },
      )
    truncateMetrics(run, trainer.step)
    const lines = readMetrics(run)
    evaluations.push(...lines.flatMap((line) => evaluationOf(line) ?? []))
    savedStep = trainer.step
    await saveIfBest()
    return { losses: lossesOf(lines) }
  }
  /** Before the change is recorded, so that a process that is killed in between does it again. */
  const setOtherPreviewsAside = () => {
    const changed = previous ? previewChanges(previous, { settings, renderer }) : []
    const folder = changed.length > 0 ? setPreviewsAside(run, trainer.step) : undefined
    return folder === undefined ? undefined : { folder, changed }
  }
  const recordSettingsChange = () => {
    const change = previous && settingsChange(previous.settings, settings)
    if (change) recordChange(run, { after_step: trainer.step, changed: change.changed }, change.parameters)
  }
  const saveStateNow = async () => {
    syncMetrics(run)
    await saveState(run.state, trainer, check)
    savedStep = trainer.step
  }
  const writeLora = (path: string, isAverage = false) =>
    saveLora(path, { base, settings, exampleCaption }, trainer, isAverage)
  const writeLoras = async (path: string) => {
    await writeLora(path)
    if (trainer.average) await writeLora(run.average(path), true)
  }
  const saveIfBest = async () => {
    const best = bestLora(evaluations)
    if (!best || best.step !== trainer.step) return
    if (savedStep !== trainer.step) await saveStateNow()
    const found = originOf(run.best)
    if (found?.step !== best.step || found.isAverage !== best.isAverage) await writeLora(run.best, best.isAverage)
  }

  return {
    open: async () => {
      removeLeftovers(run)
      const opened = existsSync(run.state) ? await resume() : await start()
      const earlierPreviews = setOtherPreviewsAside()
      recordSettingsChange()
      return { ...opened, ...(earlierPreviews && { earlierPreviews }) }
    },
    addStep: async (report) => {
      const evaluation = isEvaluationDue(report.step) ? await evaluate().catch(ignoreInterruption) : undefined
      appendMetrics(run, { ...metricsOf(report), ...(evaluation && evaluationMetrics(evaluation)) })
      return evaluation
    },
    evaluateMissing: async () => (lacksEvaluation() ? evaluate() : undefined),
    recordEvaluation: () => {
      const evaluation = evaluations.at(-1)
      const line = readMetrics(run).at(-1)
      if (evaluation && line) replaceLastMetrics(run, { ...line, ...evaluationMetrics(evaluation) })
    },
    lacksEvaluation,
    evaluations,
    isLast,
    isCheckpointDue: (step) => isCheckpointDue(step) || isLast(step),
    saveCheckpoint: async () => {
      const path = isLast(trainer.step) ? run.lora : run.checkpoint(trainer.step)
      await writeLoras(path)
      await saveStateNow()
      removeOldCheckpoints(run, settings.keepCheckpoints, trainer.step)
      return path
    },
    saveIfBest,
    saveStopped: async () => {
      await saveStateNow()
      await writeLoras(run.lora)
      return run.lora
    },
  }
}

/** A resumed run repeats an evaluation that was interrupted. */
function ignoreInterruption(error: unknown): undefined {
  if (!(error instanceof Interrupted)) throw error
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

async function saveLora(
  path: string,
  { base, settings, exampleCaption }: Pick<WrittenRun, 'base' | 'settings' | 'exampleCaption'>,
  { parameters, average, step }: Trainer,
  isAverage: boolean,
) {
  const factors = new Map(
    [...(isAverage && average ? average.values : parameters)].map(([name, variable]) => [
      name,
      {
        shape: variable.shape,
        get values() {
          return variable.data<'float32'>()
        },
      },
    ]),
  )
  await writeTrainedLora(path, factors, settings.alpha / settings.rank, {
    rank: settings.rank,
    alpha: settings.alpha,
    triggerPhrase: settings.triggerPhrase,
    exampleCaption,
    baseModel: base.fingerprint,
    baseVersion: base.release === '2.3' ? undefined : (base.version ?? base.release),
    referencePositions: 'overlapping',
    durationSeconds: settings.audioDurationSeconds,
    normalized: settings.audioNormalize,
    steps: step,
    emaDecay: isAverage ? settings.ema : undefined,
    toolVersion,
  })
}

/** Replaces the state atomically: the previous one stays until the new one is complete. Variables are read from TensorFlow.js one at a time. */
export async function saveState(path: string, trainer: Trainer, check: ResumeCheck): Promise<void> {
  const tensors = new Map<string, ReadableTensor>()
  for (const [name, variable] of stateVariables(trainer))
    tensors.set(name, {
      dtype: 'F32',
      shape: variable.shape,
      read: async () => float32Bytes(await variable.data<'float32'>()),
    })
  const counts = { step: String(trainer.step), updates: String(trainer.optimizer.updates) }
  await writeReadableTensors(path, tensors, { ...counts, identity: JSON.stringify(check) })
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
export const savedStep = (path: string): number => readSaved(path, (state) => countIn(state, 'step')) ?? 0

/** What the metadata of a saved state says; undefined where there is none or it is broken: restoring it reports what is wrong with it. */
function readSaved<T>(path: string, read: (state: Safetensors) => T): T | undefined {
  if (!existsSync(path)) return undefined
  try {
    const state = openSafetensors(path)
    state.close()
    return read(state)
  } catch {
    return undefined
  }
}

function stateVariables({ parameters, optimizer, average }: Trainer): [string, tf.Variable][] {
  const named = (prefix: string, variables: ReadonlyMap<string, tf.Variable>): [string, tf.Variable][] =>
    [...variables].map(([name, variable]) => [`${prefix}.${name}`, variable])
  return [
    ...parameters,
    ...named('first', optimizer.first),
    ...named('second', optimizer.second),
    ...(average ? named('ema', average.values) : []),
  ]
}

/**
 * Compares the base before anything is encoded for it. Its vocoder may have been added since.
 * @param path the saved state of the run.
 * @returns the fingerprint of the base that the run was started with.
 * @throws UserError when the run was trained on another one.
 */
export function requireSameBase(path: string, base: BaseModel): string {
  const { fingerprint, release, config } = base
  const saved = readSaved(path, ({ metadata }) => parseResumeCheck(metadata.identity ?? ''))
  const before = saved?.settings['base model'] ?? fingerprint
  if (isFingerprintOf(base, before)) return before
  const vocoder = config.vocoder ? '' : ' (with its vocoder, if it had one)'
  throw new UserError(
    `${path} is of another training: base model was ${before} and is now ${fingerprint}, of LTX-${release}`,
    { hint: `resume with the base that the run was started with${vocoder}, or start a new run`, parameter: 'model' },
  )
}

function requireSame(path: string, { metadata }: Safetensors, check: ResumeCheck) {
  const saved = parseResumeCheck(metadata.identity ?? '')
  if (!saved) throw broken(path, 'it does not say which run it belongs to')
  const differ = differences(saved, check)
  if (differ.length > 0)
    throw new UserError(`${path} is of another training: ${differ.join('; ')}`, {
      hint: 'resume with what the run was started with (if the cache was removed, also on the same backend), or start a new run',
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
