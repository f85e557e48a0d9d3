/** Random access to the bytes of a file: on this machine, or on a server that sends parts of it. */
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { UserError } from '../platform/errors.ts'

export type ByteSource = {
  /** The file name. */
  readonly name: string
  /** For messages: the whole location, without login and query. */
  readonly location: string
  readonly size: number
  /** Changes when the content does, as far as the location tells. */
  readonly version: string
  /** Bytes `start` to `end`, exclusive. A chunk is only valid until the next one. */
  read(start: number, end: number, signal: AbortSignal): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** A small range as one array. */
export async function readAll(
  source: ByteSource,
  start: number,
  end: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start)
  let done = 0
  for await (const chunk of source.read(start, end, signal)) {
    bytes.set(chunk, done)
    done += chunk.length
  }
  return bytes
}

/** Larger chunks are not faster, and each range in flight holds one in memory. */
const chunkBytes = 2 ** 20

/** @throws UserError when there is no such file. */
export async function openLocalSource(path: string): Promise<ByteSource> {
  const file = await open(path).catch((cause) => {
    const ErrorType = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? NotFoundError : UserError
    throw new ErrorType(`${path} cannot be opened`, { hint: 'check the path and the permissions', cause })
  })
  const stat = await file.stat()
  if (!stat.isFile()) {
    await file.close()
    throw new UserError(`${path} is not a file`, { hint: 'give the path of one safetensors file' })
  }
  return {
    name: basename(path),
    location: path,
    size: stat.size,
    version: `${stat.size} bytes of ${stat.mtime.toISOString()}`,
    read: async function* (start, end, signal) {
      const buffer = new Uint8Array(Math.min(chunkBytes, end - start))
      for (let position = start; position < end; ) {
        signal.throwIfAborted()
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - position), position)
        if (bytesRead === 0) throw new UserError(`${path} became shorter while it was read`, { hint: 'start again' })
        yield buffer.subarray(0, bytesRead)
        position += bytesRead
      }
    },
    close: () => file.close(),
  }
}

/** The file does not exist. Callers may ignore it for optional files. */
export class NotFoundError extends UserError {}

/** For `catch`: undefined for a file that does not exist. @throws any other error. */
export function unlessMissing(error: unknown): undefined {
  if (!(error instanceof NotFoundError)) throw error
  return undefined
}
