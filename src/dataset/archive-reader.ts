/** An archive's bytes for yauzl, which reads wherever the archive tells it to: outside of the file that is an error here, where yauzl's own reader crashes. */
import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { RandomAccessReader } from 'yauzl'

/** Closes the file when yauzl is done with it. */
export class ArchiveReader extends RandomAccessReader {
  constructor(
    readonly file: FileHandle,
    readonly size: number,
  ) {
    super()
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ) {
    this.readAll(buffer, offset, length, position).then(
      () => setImmediate(callback, null), // not from within the promise, which would swallow what the callback throws
      (error) => setImmediate(callback, error),
    )
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.pieces(start, end), { objectMode: false })
  }

  override close(callback: (error: Error | null) => void) {
    this.file.close().then(() => callback(null), callback)
  }

  private async readAll(buffer: Buffer, offset: number, length: number, position: number) {
    if (!(position >= 0 && position + length <= this.size)) throw new Error(`there is no byte ${position + length}`)
    for (let done = 0; done < length; ) {
      const { bytesRead } = await this.file.read(buffer, offset + done, length - done, position + done)
      if (bytesRead === 0) throw new Error('the file ended while it was read')
      done += bytesRead
    }
  }

  private async *pieces(start: number, end: number) {
    for (let at = start; at < end; at += pieceBytes) {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, end - at))
      await this.readAll(piece, 0, piece.length, at)
      yield piece
    }
  }
}

const pieceBytes = 2 ** 16
