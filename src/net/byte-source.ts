/** Where bytes come from: a file on this machine, or one on a server that sends parts of it. */
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { UserError } from '../platform/errors.ts'

export type ByteSource = {
  /** The file's name without its place, as notes and messages call it. */
  readonly name: string
  /** For messages: the place too, but neither login nor query. */
  readonly location: string
  readonly size: number
  /** Changes when the content does, as far as the place tells. */
  readonly version: string
  /** Bytes `start` to `end`, exclusive, exactly as many, in chunks that are only valid until the next. */
  read(start: number, end: number, signal: AbortSignal): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** All of a range at once, for what is small. */
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

/** Much at once is not faster, and this is held in memory per range in flight. */
const chunkBytes = 2 ** 20

/** @throws UserError when there is no such file. */
export async function openLocalSource(path: string): Promise<ByteSource> {
  const file = await open(path).catch((cause) => {
    const Problem = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? Missing : UserError
    throw new Problem(`${path} cannot be opened`, { hint: 'check the path and the permissions', cause })
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

/** There is no such file; where it would only have been welcome, that is no error. */
export class Missing extends UserError {}
