/** A file that is being downloaded: `<name>.partial`, and beside it a journal of what it contains. It is renamed when it is complete. */

import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { openSafetensors } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'
import { replaceFile } from '../platform/files.ts'
import type { Piece, Range } from './ranges.ts'

export type PartialFile = {
  isDone(range: Range): boolean
  write(bytes: Uint8Array, position: number): Promise<void>
  /** Flushes the bytes of the range to disk, then records the range. */
  finish(range: Range): Promise<void>
  /** Checks the complete file and renames it. */
  complete(): Promise<void>
  close(): Promise<void>
}

/** The first bytes and the size of the file, and the version of its source. */
export type Contents = { head: Uint8Array; size: number; version: string }

/**
 * Starts a file, or continues the one that an interrupted download left.
 * @throws UserError when that one was of another source, or the disk refuses.
 */
export async function openPartial(path: string, contents: Contents): Promise<PartialFile> {
  const [partial, journalPath] = [`${path}.partial`, `${path}.partial.journal`]
  const { file, journal } = await withDiskErrors(partial, () => openBoth(partial, journalPath, contents))
  let isOpen = true
  const close = async () => {
    if (!isOpen) return
    isOpen = false
    journal.close()
    await file.close()
  }
  return {
    isDone: journal.isDone,
    write: (bytes, position) => withDiskErrors(partial, () => writeAll(file, bytes, position)),
    finish: (range) =>
      withDiskErrors(partial, async () => {
        await file.datasync()
        journal.add(range)
      }),
    complete: () =>
      withDiskErrors(partial, async () => {
        await file.sync()
        await close()
        openSafetensors(partial).close()
        await rename(partial, path)
        await rm(journalPath)
      }),
    close,
  }
}

/** The parts of a chunk that belong into the file, each with its position there. */
export function* partsOf(
  pieces: readonly Piece[],
  chunk: Uint8Array,
  position: number,
): Generator<[Uint8Array, number]> {
  for (const { start, end, at } of pieces) {
    const [from, to] = [Math.max(start, position), Math.min(end, position + chunk.length)]
    if (from < to) yield [chunk.subarray(from - position, to - position), at + from - start]
  }
}

async function openBoth(partial: string, journalPath: string, { head, size, version }: Contents) {
  mkdirSync(dirname(partial), { recursive: true })
  const identity = { version, result: hashOf(head) }
  const earlier = readIdentity(journalPath)
  const continues = earlier !== undefined && statSync(partial, { throwIfNoEntry: false }) !== undefined
  if (continues && (earlier.version !== version || earlier.result !== identity.result))
    throw new UserError(`the source of ${partial} has changed since its download started`, {
      hint: `delete ${partial} and ${journalPath} to start again`,
    })
  if (!continues) refuseOtherFile(partial, size)
  const file = await open(partial, continues ? 'r+' : 'w')
  try {
    if (!continues) await allocate(file, head, size)
    const journal: Journal = continues ? openJournal(journalPath) : startJournal(journalPath, identity)
    return { file, journal }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** A partial file without a journal was left by a pull that was killed as it started, and then has the size of the result. @throws UserError for any other. */
function refuseOtherFile(partial: string, size: number) {
  const found = statSync(partial, { throwIfNoEntry: false })
  if (found && found.size !== 0 && found.size !== size)
    throw new UserError(`${partial} exists already, and is not an interrupted pull`, {
      hint: 'move it away, or choose another path with --out',
    })
}

async function allocate(file: FileHandle, head: Uint8Array, size: number) {
  await file.truncate(size)
  await writeAll(file, head, 0)
  await file.sync()
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number) {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
}

/** What must be the same for a download to continue. */
export type Identity = {
  /** The version of the source. */
  version: string
  /** The hash of the first bytes of the result, which name the tensors and the source. */
  result: string
}

/** Which ranges are safely on disk: a line for each, written after the bytes of the range, so that a download can be killed at any moment. */
export type Journal = {
  isDone(range: Range): boolean
  /** Call it when the bytes of the range are on disk. */
  add(range: Range): void
  close(): void
}

export const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16)

/** The identity in the first line; undefined where there is no journal, or no such line. */
export function readIdentity(path: string): Identity | undefined {
  if (!existsSync(path)) return undefined
  const [first] = completeLines(path)
  return (first as { identity?: Identity } | undefined)?.identity
}

export function startJournal(path: string, identity: Identity): Journal {
  replaceFile(path, [`${JSON.stringify({ identity })}\n`])
  return openJournal(path)
}

/** Continues a journal. A line that was cut off is ignored. */
export function openJournal(path: string): Journal {
  const lines = completeLines(path)
  replaceFile(path, [lines.map((line) => `${JSON.stringify(line)}\n`).join('')])
  const done = new Set(lines.flatMap((line) => (line as { done?: [number, number] }).done?.join('-') ?? []))
  const fd = openSync(path, 'a')
  return {
    isDone: ({ start, end }) => done.has(`${start}-${end}`),
    add: ({ start, end }) => writeSync(fd, `${JSON.stringify({ done: [start, end] })}\n`),
    close: () => closeSync(fd),
  }
}

function completeLines(path: string): unknown[] {
  const text = readFileSync(path, 'utf8')
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
    .flatMap((line) => {
      try {
        return [JSON.parse(line)]
      } catch {
        return [] // a power failure can leave anything
      }
    })
}

/** Runs work that writes to `path`. @throws UserError when the disk refuses it. */
export async function withDiskErrors<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (cause) {
    const refusal = diskErrors[(cause as NodeJS.ErrnoException).code ?? '']
    if (refusal === undefined) throw cause
    throw new UserError(`${path} cannot be written: ${refusal}`, {
      hint: 'fix that and run it again: it continues where it stopped',
      cause,
    })
  }
}

const diskErrors: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'files on this disk may not be that large',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EROFS: 'the disk is read-only',
  EIO: 'the disk reports an error',
  ENOTDIR: 'a part of its path is a file',
  EEXIST: 'a part of its path is a file',
}
