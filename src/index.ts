/** The public interface of ltx-a2a, documented with examples in `docs/api.md`. */
export { type ApplyEvent, type ApplyResult, type ApplyRunOptions, apply, type RecordingEvent } from './apply/apply.ts'
export type { Verdict } from './audio/analysis/verdict.ts'
export { decodeWav, encodeWav } from './audio/wav.ts'
export type { Waveform } from './audio/waveform.ts'
export { defaultLimits, type LimitName, type Limits, parseLimits } from './config/limits.ts'
export {
  type ApplyOptions,
  type InspectOptions,
  type PreviewOptions,
  readJobOptions,
  type TrainOptions,
  type TrainSettings,
} from './config/settings.ts'
export type { FittedPair } from './dataset/clips.ts'
export { assertTrainable, type Dataset, inspectDataset } from './dataset/dataset.ts'
export { type BaseModel, openBase } from './model/base-model.ts'
export { type LoraFile, type LoraModule, readLora, writeLora } from './model/lora-file.ts'
export { Interrupted, UserError } from './platform/errors.ts'
export type { InfoEvent, ProgressEvent, RunOptions, StageEvent, WarningEvent } from './platform/progress.ts'
export { type PreviewResult, type PreviewRunOptions, preview } from './preview/preview.ts'
export { createRunReport } from './report/run-report.ts'
export { createTensorBoardListener } from './report/tensorboard.ts'
export type {
  CheckpointEvent,
  ClipEvent,
  DatasetEvent,
  DoneEvent,
  EvaluationEvent,
  PreviewEvent,
  ReconstructionEvent,
  RequirementsEvent,
  RunEvent,
  SavedBest,
  StepEvent,
  TrainEvent,
} from './train/events.ts'
export type { LearningVerdict } from './train/learning.ts'
export type { RunFolder } from './train/run-folder.ts'
export { resumeTraining, type TrainResult, type TrainRunOptions, train } from './train/train.ts'
