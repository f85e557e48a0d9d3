/** From a file to a file: one recording, read, transformed and written. */
import { extname } from 'node:path'
import { allowedRate, openSoundWriter, type SoundWriter } from '../audio/encode.ts'
import { openResampler } from '../audio/resample.ts'
import { createSoundStore, type SoundStore } from '../audio/sound-store.ts'
import { countClipped, firstSamples, sampleCount, type Waveform } from '../audio/waveform.ts'
import type { Limits } from '../config/limits.ts'
import type { ApplySettings } from '../config/settings.ts'
import { withParameter } from '../platform/errors.ts'
import { temporaryPath } from '../platform/files.ts'
import type { OutputFile } from '../platform/output-file.ts'
import type { Reporter } from '../platform/progress.ts'
import { countText } from '../platform/text.ts'
import { marker } from './finished.ts'
import { type RecordingSound, readRecording } from './read-recording.ts'
import type { Session } from './session.ts'

export type FileJob = {
  /** What the recording is called in messages. */
  name: string
  /** Where the result goes. */
  file: OutputFile
  /** What tells later that it is the result of this recording and these settings. */
  key: string
  /** Whether the peak of the recording is normalized for the model. */
  normalize: boolean
  settings: ApplySettings
  limits: Limits
  /** Loads the model the first time. */
  openModel(): Promise<Session>
}

/** @throws UserError for a recording that cannot be used; nothing is written then. */
export async function transformFile(path: string, job: FileJob, reporter: Reporter): Promise<void> {
  const { name, file, key, normalize, settings, limits } = job
  const { mix, sampleRate } = settings
  const extension = extname(file.path).toLowerCase()
  const rateFor = (own: number) => sampleRate ?? allowedRate(extension, own)
  await file.fill(async (temporary) => {
    const dry = mix < 1 ? createSoundStore(temporaryPath(file.path), rateFor) : undefined
    try {
      const readOptions = { name, normalize, limits, ...(dry && { onSound: dry.append }) }
      const sound = await withParameter('inputs', () => readRecording(path, readOptions))
      dry?.complete()
      if (sound.warnings !== undefined)
        reporter.warn(`${name} is partly damaged: ffmpeg says ${sound.warnings}`, 'the result ends where it does')
      reporter.throwIfAborted()
      const session = await job.openModel()
      const rate = rateFor(sound.sampleRate)
      if (sampleRate === undefined && rate !== sound.sampleRate)
        reporter.info(`${file.path} has ${rate} Hz: ${extension} files cannot have ${sound.sampleRate} Hz`)
      const software = `${marker} ${key}`
      const writer = await openSoundWriter(temporary, { extension, sampleRate: rate, software, name: file.path })
      try {
        const clipped = await writeResult(session.transform(sound.reference), writer, { sound, rate, mix, dry })
        if (clipped > 0)
          reporter.warn(`${name}: ${countText(clipped, 'sample')} of the result above full scale were clipped`)
      } catch (error) {
        await writer.discard()
        throw error
      }
    } finally {
      dry?.remove()
    }
  })
}

type Mix = {
  sound: RecordingSound
  /** The sample rate of the result. */
  rate: number
  /** The share of the transformed sound. */
  mix: number
  /** The recording as it was, at that sample rate. */
  dry: SoundStore | undefined
}

/** Gives the transformed sound the level, rate and length of the recording, mixes and writes it. @returns the number of samples above full scale. */
async function writeResult(
  transformed: AsyncGenerator<Waveform>,
  writer: SoundWriter,
  { sound, rate, mix, dry }: Mix,
): Promise<number> {
  const total = Math.ceil((sound.samples * rate) / sound.sampleRate)
  const level = mix / sound.gain
  let resampler: ReturnType<typeof openResampler> | undefined
  let written = 0
  let clipped = 0
  const write = async (channels: Float32Array[]) => {
    const wet = firstSamples({ sampleRate: rate, channels }, total - written)
    const asRecorded = dry?.read(written, sampleCount(wet)).channels
    const mixed = wet.channels.map((channel, c) =>
      channel.map((sample, i) => level * sample + (1 - mix) * (asRecorded?.[c]?.[i] ?? 0)),
    )
    for (const channel of mixed) clipped += countClipped(channel)
    await writer.write({ sampleRate: rate, channels: mixed })
    written += sampleCount(wet)
  }
  for await (const { sampleRate, channels } of transformed) {
    resampler ??= openResampler(sampleRate, rate, channels.length)
    await write(resampler.push(channels))
  }
  if (resampler) await write(resampler.finish())
  if (written !== total) throw new Error(`the result has ${written} of ${total} samples`)
  await writer.finish()
  return clipped
}
