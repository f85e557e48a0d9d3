/** Sound that waits in a temporary file, so that its length does not matter. */
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { openResampler, type Resampler } from '../audio/resample.ts'
import { deinterleave, interleave, type Waveform } from '../audio/waveform.ts'

export type SoundStore = {
  /** Adds stereo sound at the end. All pieces have one sample rate. */
  append(piece: Waveform): void
  /** To be called after the last piece. */
  complete(): void
  /** The next samples, fewer than that at the end. */
  read(samples: number): Waveform
  /** Removes the file. */
  close(): void
}

/**
 * @param path of a file that does not exist yet.
 * @param sampleRate what the sound is resampled to; undefined keeps its rate.
 */
export function openSoundStore(path: string, sampleRate: number | undefined): SoundStore {
  const fd = openSync(path, 'wx+')
  let rate = sampleRate ?? 0
  let resampler: Resampler | undefined
  let position = 0
  const write = (channels: Float32Array[]) => {
    const bytes = new Uint8Array(interleave({ sampleRate: rate, channels }).buffer)
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
  }
  return {
    append: (piece) => {
      rate ||= piece.sampleRate
      resampler ??= openResampler(piece.sampleRate, rate, piece.channels.length)
      write(resampler.push(piece.channels))
    },
    complete: () => {
      if (resampler) write(resampler.finish())
    },
    read: (samples) => {
      const values = new Float32Array(2 * samples)
      const bytes = readSync(fd, values, 0, values.byteLength, position)
      position += bytes
      return deinterleave(values.subarray(0, bytes / values.BYTES_PER_ELEMENT), 2, rate)
    },
    close: () => {
      closeSync(fd)
      rmSync(path, { force: true })
    },
  }
}
