/** The curves and previews of a run for TensorBoard: a listener of the run's events. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { encodeWav } from '../audio/wav.ts'
import { sampleCount } from '../audio/waveform.ts'
import type { TrainEvent } from '../train/events.ts'
import type { RunFolder } from '../train/run-folder.ts'
import { createEventFile, type EventFile } from './tensorboard.ts'

/** A listener for `onEvent` that writes event files into the folder of the run. A failure to write is reported once and never stops the training. */
export function createTensorBoardListener({ onWarning }: { onWarning?: (message: string) => void } = {}) {
  let folder: RunFolder | undefined
  let isResumed = false
  let events: EventFile | undefined
  let hasFailed = false

  /** Opened with the first event, which says where a resumed run continues. */
  const fileAt = ({ tensorboard }: RunFolder, step: number) => {
    const path = join(tensorboard, `events.out.tfevents.${Math.floor(Date.now() / 1000)}.${process.pid}`)
    events ??= createEventFile(path, { resumedAfter: isResumed ? step - 1 : undefined })
    return events
  }
  return (event: TrainEvent) => {
    try {
      if (event.type === 'run') [folder, isResumed] = [event.folder, existsSync(event.folder.state)]
      if (!folder) return
      if (event.type === 'step')
        fileAt(folder, event.step).scalars(event.step, {
          loss: event.loss,
          learning_rate: event.learningRate,
          gradient_norm: event.gradientNorm,
          seconds_per_step: event.seconds,
        })
      if (event.type === 'evaluation') fileAt(folder, event.step).scalars(event.step, { fixed_loss: event.fixedLoss })
      if (event.type === 'preview')
        fileAt(folder, event.step).audio(event.step, `preview ${event.number}`, {
          sampleRate: event.waveform.sampleRate,
          channelCount: event.waveform.channels.length,
          frames: sampleCount(event.waveform),
          wav: encodeWav(event.waveform),
        })
    } catch (error) {
      if (!hasFailed) onWarning?.(`the events for TensorBoard could not be written: ${(error as Error).message}`)
      hasFailed = true
    }
  }
}
