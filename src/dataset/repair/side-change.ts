/** What is changed about one file of a pair, and how the changed file is written. */

import { type LagLine, lagAt } from '../../audio/analysis/lag-line.ts'
import { type AudioInfo, type DecodeOptions, measureAudio } from '../../audio/decode.ts'
import { createPositionReader } from '../../audio/interpolate.ts'
import { createWavWriter, type WavWriter } from '../../audio/wav-writer.ts'
import { fromDbfs } from '../../audio/waveform.ts'

/** Output frame `i` is frame `start + i · step` of the file. `frames` is the length of the output; undefined for as long as the file is. */
export type SideChange = { start: number; step: number; frames?: number; gainDb: number }

type Recording = Pick<AudioInfo, 'seconds' | 'sampleRate'>

/**
 * The cuts that bring the two sides of a pair in sync, so that both are equally long. A constant lag is cut in whole samples, which changes none of them;
 * with a drift, the target is read at the speed of the reference.
 */
export function alignSides(
  reference: Recording,
  target: Recording,
  line: LagLine,
): { reference: SideChange; target: SideChange } {
  const step = 1 + line.drift
  const toWhole = line.drift === 0 ? Math.round : Math.ceil
  const earliest = toWhole(Math.max(0, -line.lag / step) * reference.sampleRate)
  const referenceStart = earliest / reference.sampleRate
  const exactStart = (referenceStart + lagAt(line, referenceStart)) * target.sampleRate
  const targetStart = Math.max(0, line.drift === 0 ? Math.round(exactStart) : exactStart)
  const seconds = Math.min(
    reference.seconds - referenceStart,
    (target.seconds - targetStart / target.sampleRate) / step,
  )
  const frames = ({ sampleRate }: Recording) => Math.max(0, Math.floor(seconds * sampleRate + wholeFrames))
  return {
    reference: { start: earliest, step: 1, frames: frames(reference), gainDb: 0 },
    target: { start: targetStart, step, frames: frames(target), gainDb: 0 },
  }
}

/** Absorbs rounding errors of seconds that are whole frames. */
const wholeFrames = 1e-6

export const isUnchanged = ({ start, step, frames, gainDb }: SideChange, { seconds, sampleRate }: Recording) =>
  start === 0 && step === 1 && gainDb === 0 && (frames === undefined || frames === Math.round(seconds * sampleRate))

/** Interpolated samples can be above those between which they lie. */
const interpolationHeadroom = fromDbfs(-1)

/**
 * Writes the changed recording as a wav file with the rate and the channels of the original. Its samples have 24 bits: that keeps those of 16 and 24 bits
 * exactly as they are where they are only cut, and its rounding is 144 dB below full scale. They are 32-bit floats where the peak is above full scale,
 * which integers cannot hold.
 * @param peak the largest absolute sample of the original.
 * @throws as `decodeAudio` does, and UserError for a full disk.
 */
export async function writeChanged(
  file: string,
  path: string,
  { start, step, frames = Number.POSITIVE_INFINITY, gainDb }: SideChange,
  { peak, ...options }: DecodeOptions & { peak: number },
): Promise<void> {
  const gain = fromDbfs(gainDb)
  const fits = step === 1 ? peak * gain <= 1 : peak * gain <= interpolationHeadroom
  let writer: WavWriter | undefined
  let reader: ReturnType<typeof createPositionReader> | undefined
  const amplified = (block: Float32Array) => (gain === 1 ? block : block.map((sample) => sample * gain))
  try {
    await measureAudio(file, {
      headSeconds: 0,
      ...options,
      onSamples: (block, format) => {
        writer ??= createWavWriter(path, format, fits ? 'pcm24' : 'float32')
        reader ??= createPositionReader({ start, step, length: frames }, format.channelCount)
        writer.write(amplified(reader.add(block)))
      },
    })
    if (reader && frames !== Number.POSITIVE_INFINITY) writer?.write(amplified(reader.end()))
  } finally {
    writer?.close()
  }
}
