/** The curves and previews of a run for TensorBoard: a listener of the run's events, and the event files that it writes. */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import protobuf from 'protobufjs'
import { encodeWav } from '../audio/wav.ts'
import { sampleCount } from '../audio/waveform.ts'
import { crc32c } from '../formats/crc.ts'
import { evaluationMetrics } from '../train/evaluation.ts'
import type { TrainEvent } from '../train/events.ts'
import type { RunFolder } from '../train/run-folder.ts'

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
      if (event.type === 'evaluation') fileAt(folder, event.step).scalars(event.step, evaluationMetrics(event))
      if (event.type === 'preview' && !event.isBest)
        // its step is past: TensorBoard would discard later ones
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

export type EventFile = {
  /** Numbers of one step, by their tags. Values that are not finite are left out. */
  scalars(step: number, values: Readonly<Record<string, number | undefined>>): void
  /** A wav file. */
  audio(
    step: number,
    tag: string,
    sound: { sampleRate: number; channelCount: number; frames: number; wav: Uint8Array },
  ): void
}

/**
 * Starts a new event file. Nothing is written before the first event.
 * @param options.resumedAfter TensorBoard discards what earlier files hold of later steps.
 * @param options.now the time in seconds since 1970.
 */
export function createEventFile(
  path: string,
  { resumedAfter, now = () => Date.now() / 1000 }: { resumedAfter?: number | undefined; now?: () => number } = {},
): EventFile {
  let isStarted = false
  const write = (event: object) => appendFileSync(path, record({ wall_time: now(), ...event }))
  const append = (event: object) => {
    if (!isStarted) {
      mkdirSync(dirname(path), { recursive: true })
      write({ file_version: 'brain.Event:2' })
      if (resumedAfter !== undefined) write({ step: resumedAfter + 1, session_log: { status: sessionStart } })
      isStarted = true
    }
    write(event)
  }
  return {
    scalars: (step, values) => {
      const finite = Object.entries(values).filter(([, value]) => Number.isFinite(value))
      const value = finite.map(([tag, value]) => ({ tag, simple_value: value }))
      if (value.length > 0) append({ step, summary: { value } })
    },
    audio: (step, tag, { sampleRate, channelCount, frames, wav }) => {
      const audio = {
        sample_rate: sampleRate,
        num_channels: channelCount,
        length_frames: frames,
        encoded_audio_string: wav,
        content_type: 'audio/wav',
      }
      append({ step, summary: { value: [{ tag, audio }] } })
    },
  }
}

/** The fields that are used, from TensorFlow's event.proto and summary.proto. */
const eventType = protobuf
  .parse(
    `syntax = "proto3";
    message Audio {
      float sample_rate = 1; int64 num_channels = 2; int64 length_frames = 3; bytes encoded_audio_string = 4; string content_type = 5;
    }
    message Value { string tag = 1; float simple_value = 2; Audio audio = 6; }
    message Summary { repeated Value value = 1; }
    message SessionLog { int32 status = 1; }
    message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }`,
    { keepCase: true },
  )
  .root.lookupType('Event')

/** SessionLog.START */
const sessionStart = 1

/** A record is the length, its checksum, the message and its checksum, all little-endian. */
function record(event: object): Uint8Array {
  const message = eventType.encode(eventType.create(event)).finish()
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(message.length))
  return Buffer.concat([length, uint32(maskedChecksum(length)), message, uint32(maskedChecksum(message))])
}

/** The checksum is rotated and offset, so that a record inside a record has another one. */
export function maskedChecksum(data: Uint8Array): number {
  const crc = crc32c(data)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
