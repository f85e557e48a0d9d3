/** The events of a training run. The terminal, the run's page, TensorBoard and `--json-progress` are listeners of these events. */
import type { Waveform } from '../audio/waveform.ts'
import type { TrainSettings } from '../config/settings.ts'
import type { FittedPair } from '../dataset/clips.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { BaseModel } from '../model/base-model.ts'
import type { ProgressEvent } from '../platform/progress.ts'
import type { RendererName } from '../preview/renderer.ts'
import type { BestLora, Evaluation } from './evaluation.ts'
import type { LearningVerdict } from './learning.ts'
import type { MachineResources, RunRequirements } from './requirements.ts'
import type { RunFolder } from './run-folder.ts'

export type TrainEvent =
  | ProgressEvent
  | DatasetEvent
  | RequirementsEvent
  | RunEvent
  | ClipEvent
  | ReconstructionEvent
  | StepEvent
  | EvaluationEvent
  | PreviewEvent
  | CheckpointEvent
  | DoneEvent

/** The dataset was inspected: pairs, problems, advice. Emitted before the run stops for a dataset that cannot be used. */
export type DatasetEvent = { type: 'dataset'; dataset: Dataset }

/** What the run needs and what this machine has, all in bytes. Emitted before the model is loaded. */
export type RequirementsEvent = { type: 'requirements'; requirements: RunRequirements; resources: MachineResources }

/** What is previewed, fitted: an entry of `validation`, with its target where that lies beside the reference, or a held-out pair. */
export type ValidationClip = {
  prompt: string
  reference: Waveform
  target?: Waveform | undefined
  /** The name of the held-out pair that it is. */
  heldOut?: string
}

/** The folder of the run exists. Nothing was written before this event. */
export type RunEvent = {
  type: 'run'
  folder: RunFolder
  settings: TrainSettings
  base: Pick<BaseModel, 'isBundled' | 'fingerprint' | 'release'> & {
    path: string
    blocks: number
    /** What makes the sound of previews. */
    renderer: RendererName
  }
  backend: string
  /** The references of the previews, as they were fitted. */
  validation: readonly ValidationClip[]
  /** The names of the held-out pairs. */
  heldOut?: readonly string[]
}

/** A pair was fitted, as the model is trained on it. */
export type ClipEvent = { type: 'clip'; pair: FittedPair }

/** A target of the dataset after encoding and decoding: how much of the sound the autoencoder and the renderer preserve. */
export type ReconstructionEvent = { type: 'reconstruction'; name: string; original: Waveform; reconstructed: Waveform }

/** An optimizer step. */
export type StepEvent = {
  type: 'step'
  /** 1-based. */
  step: number
  steps: number
  /** The mean over the examples of the step. It depends on the noise levels that were drawn. */
  loss: number
  /** An exponential moving average of the losses of the run so far, over about 50 steps. */
  smoothedLoss: number
  learningRate: number
  /** Before clipping. */
  gradientNorm: number
  /** The noise level of each example, 0 … 1. */
  sigmas: readonly number[]
  /** The names of the pairs. */
  pairs: readonly string[]
  seconds: number
  /** Resident memory of the process. */
  memoryBytes: number
}

/** The weight of the newest loss in the smoothed one: an average over about fifty steps. */
export const lossSmoothing = 0.04

/** The loss over the same pairs, noise and noise levels each time, so that the values of different steps can be compared. */
export type EvaluationEvent = Evaluation & {
  type: 'evaluation'
  step: number
  /** Of a trained LoRA, with held-out pairs: whether none before it had a lower held-out loss. */
  isBest?: boolean
}

/** `best.safetensors`: the LoRA with the lowest held-out loss, or its moving average. */
export type SavedBest = BestLora & { path: string }

/** A preview was rendered and written. Step 0 is the base without a LoRA. */
export type PreviewEvent = {
  type: 'preview'
  /** 1-based, in the order of the validation references. */
  number: number
  /** The step that the LoRA is of. */
  step: number
  /** With `best.safetensors`, after the last step. */
  isBest?: true
  path: string
  waveform: Waveform
}

/** The run can be resumed from here. The LoRA is a checkpoint or, of the last step of a finished or stopped run, `lora.safetensors`. */
export type CheckpointEvent = { type: 'checkpoint'; step: number; statePath: string; loraPath: string }

/** The last event of a run, also when it was stopped or failed. */
export type DoneEvent = {
  type: 'done'
  state: 'finished' | 'stopped'
  step: number
  steps: number
  folder: RunFolder
  /** The LoRA of `step`, also where the run was stopped. Undefined where none was saved. */
  loraPath?: string
  /** Of a finished run with held-out pairs: what the losses say, and the best LoRA. */
  verdict?: LearningVerdict
  best?: SavedBest
  /** Since `train` was called. */
  seconds: number
}
