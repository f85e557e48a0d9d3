/** Stereo sound in a temporary file, so that its length does not matter. */
import { readSync, rmSync } from 'node:fs'
import { UserError } from '../platform/errors.ts'
import { isDiskFull, withFile, writeAll } from '../platform/files.ts'
import { openResampler, type Resampler } from './resample.ts'
import { deinterleave, interleave, sampleCount, type Waveform } from './waveform.ts'

export type SoundStore = {
  /** Adds stereo sound at the end. All pieces have one sample rate. @throws UserError when the disk is full. */
  append(piece: Waveform): void
  /** To be called after the last piece. */
  complete(): void
  /** The number of samples per channel so far. */
  samples(): number
  /** The size of the file so far. */
  bytes(): number
  /** Some samples, fewer than `count` at the end. */
  read(start: number, count: number): Waveform
  /** Removes the file. */
  remove(): void
}

/**
 * @param path of a file that does not exist yet.
 * @param rateFor the sample rate that the sound is resampled to, from its own.
 */
export function createSoundStore(path: string, rateFor: (sampleRate: number) => number): SoundStore {
  withFile(path, 'wx', () => {})
  let rate = 0
  let resampler: Resampler | undefined
  let samples = 0
  const write = (channels: Float32Array[]) => {
    const waveform = { sampleRate: rate, channels }
    samples += sampleCount(waveform)
    const bytes = new Uint8Array(interleave(waveform).buffer)
    try {
      withFile(path, 'a', (fd) => writeAll(fd, bytes)) // not kept open: there may be thousands
    } catch (cause) {
      if (!isDiskFull(cause)) throw cause
      throw new UserError(`there is no room for ${path}`, { hint: 'free some space', cause, code: 'machine_error' })
    }
  }
  return {
    append: (piece) => {
      rate ||= rateFor(piece.sampleRate)
      resampler ??= openResampler(piece.sampleRate, rate, piece.channels.length)
      write(resampler.push(piece.channels))
    },
    complete: () => {
      if (resampler) write(resampler.finish())
    },
    samples: () => samples,
    bytes: () => samples * 2 * Float32Array.BYTES_PER_ELEMENT,
    read: (start, count) => {
      const values = new Float32Array(2 * Math.max(0, Math.min(count, samples - start)))
      withFile(path, 'r', (fd) => readSync(fd, values, 0, values.byteLength, start * 2 * values.BYTES_PER_ELEMENT))
      return deinterleave(values, 2, rate)
    },
    remove: () => rmSync(path, { force: true }),
  }
}
