/** A temporary wav file that is written block by block, so that a recording need not be in memory. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { UserError } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'
import { noTempRoom } from '../platform/temp-folder.ts'
import type { SampleFormat } from './decode.ts'
import { bytesPerSample, encodeSamples, padding, type WavSampleFormat, wavHeader } from './wav.ts'

export type WavWriter = {
  /** Interleaved samples, whole frames. @throws UserError when the file becomes too long for its format, or the disk is full. */
  write(block: Float32Array): void
  /** Completes the header and closes the file. @throws UserError when the disk is full. */
  close(): void
}

/** A wav file states its length in 32 bits; this leaves room for the header. */
const mostBytes = 2 ** 32 - 1024

/** @param path is replaced. */
export function createWavWriter(
  path: string,
  { sampleRate, channelCount }: SampleFormat,
  format: WavSampleFormat,
): WavWriter {
  const fd = openSync(path, 'w')
  const header = (dataBytes: number) => wavHeader({ sampleRate, channelCount }, format, dataBytes)
  let position = header(0).length
  const start = position
  const writeAt = (bytes: Uint8Array, at: number) => {
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, at + done)
    } catch (cause) {
      throw isDiskFull(cause) ? noTempRoom(cause) : cause
    }
  }
  const append = (bytes: Uint8Array) => {
    writeAt(bytes, position)
    position += bytes.length
  }
  return {
    write: (block) => {
      if (position + block.length * bytesPerSample(format) > mostBytes)
        throw new UserError('a recording is too long for a wav file of 4 GB', { hint: 'cut it into shorter files' })
      append(encodeSamples(block, format))
    },
    close: () => {
      try {
        const dataBytes = position - start
        append(padding(dataBytes))
        writeAt(header(dataBytes), 0)
      } finally {
        closeSync(fd)
      }
    },
  }
}
