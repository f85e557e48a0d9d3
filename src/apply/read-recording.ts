/** A recording as the model needs it, and as it was. */
import { measureAudio } from '../audio/decode.ts'
import { openResampler } from '../audio/resample.ts'
import {
  concatenateSamples,
  deinterleave,
  normalizePeak,
  peak,
  silencePeak,
  toStereo,
  type Waveform,
} from '../audio/waveform.ts'
import type { Limits } from '../config/limits.ts'
import { clipSampleRate, shortestReferenceSeconds } from '../dataset/clips.ts'
import { UserError } from '../platform/errors.ts'

export type RecordingSound = {
  /** The whole recording, stereo, 16 kHz, normalized if that was asked for. */
  reference: Waveform
  /** What the normalization has multiplied it by. */
  gain: number
  /** The length of the recording in samples per channel, at its own rate. */
  samples: number
  sampleRate: number
  /** What ffmpeg said although it could decode the file. */
  warnings?: string | undefined
}

export type ReadOptions = {
  /** What the file is called in messages. */
  name: string
  normalize: boolean
  limits: Limits
  /** Receives the recording as it is, in stereo, piece after piece. */
  onSound?: (piece: Waveform) => void
}

/** @throws UserError as `decodeAudio` does, and for a recording that is silent or shorter than 0.1 s. */
export async function readRecording(path: string, options: ReadOptions): Promise<RecordingSound> {
  const { name, normalize, limits, onSound } = options
  let resampler: ReturnType<typeof openResampler> | undefined
  let samples = 0
  const blocks: Float32Array[][] = []
  const { sampleRate, warnings } = await measureAudio(path, {
    name,
    limits,
    headSeconds: 0,
    onSamples: (block, { sampleRate, channelCount }) => {
      const stereo = toStereo(deinterleave(block, channelCount, sampleRate))
      onSound?.(stereo)
      samples += block.length / channelCount
      resampler ??= openResampler(sampleRate, clipSampleRate, 2)
      blocks.push(resampler.push(stereo.channels))
    },
  })
  if (samples < shortestReferenceSeconds * sampleRate)
    throw new UserError(`${name} has only ${(Math.floor((1000 * samples) / sampleRate) / 1000).toFixed(3)} s`, {
      hint: `a recording needs at least ${shortestReferenceSeconds} s`,
    })
  if (resampler) blocks.push(resampler.finish())
  const channels = [0, 1].map((c) => concatenateSamples(blocks.map((block) => block[c] as Float32Array)))
  const recorded: Waveform = { sampleRate: clipSampleRate, channels }
  const highest = peak(recorded)
  if (highest <= silencePeak) throw new UserError(`${name} is silent`, { hint: 'leave it out' })
  const reference = normalize ? normalizePeak(recorded) : recorded
  return { reference, gain: peak(reference) / highest, samples, sampleRate, warnings }
}
