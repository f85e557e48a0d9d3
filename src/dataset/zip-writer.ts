/** Zip archives written entry by entry. The same entries give the same bytes, whenever and wherever they are written. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import yazl from 'yazl'
import { Interrupted } from '../platform/errors.ts'

export type ZipWriter = {
  addBytes(name: string, bytes: Uint8Array | string): void
  /**
   * Resolves when the file was read to its end, so that it may be removed.
   * @throws the error of opening the file, and then nothing was added; the error of writing the archive, such as a full disk; Interrupted.
   */
  addFile(name: string, file: string): Promise<void>
  /** @param comment ASCII, at the end of the archive. @throws the error of writing the archive; Interrupted. */
  finish(comment?: string): Promise<void>
  /** Closes an archive that was not finished. */
  close(): Promise<void>
}

/** A zip has local times, and no time zone. */
const options = { mtime: new Date(1980, 0, 1), mode: 0o100644, forceDosTimestamp: true }

/** @param path is replaced at once: give it a temporary path. @param signal stops the writing. */
export function createZip(path: string, signal?: AbortSignal): ZipWriter {
  const zip = new yazl.ZipFile()
  const file = createWriteStream(path)
  const written = once(zip.outputStream.pipe(file), 'close')
  written.catch(() => undefined) // `addFile` and `finish` throw it
  const failed = new Promise<never>((_, reject) => {
    file.once('error', reject)
    zip.once('error', reject)
    const stop = () => reject(new Interrupted('stopped'))
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop, { once: true })
    file.once('close', () => signal?.removeEventListener('abort', stop))
  })
  failed.catch(() => undefined)
  return {
    addBytes: (name, bytes) => zip.addBuffer(Buffer.from(bytes), name, options),
    addFile: async (name, source) => {
      const stream = (await open(source)).createReadStream()
      try {
        zip.addReadStream(stream, name, options)
        await Promise.race([once(stream, 'close'), failed])
      } finally {
        stream.destroy()
      }
    },
    finish: async (comment = '') => {
      zip.end({ comment, forceZip64Format: false })
      await Promise.race([written, failed])
    },
    close: async () => {
      file.destroy()
      await written.catch(() => undefined)
    },
  }
}
