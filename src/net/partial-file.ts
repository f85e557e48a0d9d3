/** A file that is not whole yet: `<name>.partial`, with the journal of what is in it beside it. It gets its name when everything is there. */

import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { openSafetensors } from '../formats/safetensors.ts'
import { UserError } from '../platform/errors.ts'
import { replaceFile } from '../platform/files.ts'
import { writing } from './disk.ts'
import type { Piece, Range } from './ranges.ts'

export type PartialFile = {
  isDone(range: Range): boolean
  write(bytes: Uint8Array, position: number): Promise<void>
  /** Makes the range's bytes durable, then notes it. */
  finish(range: Range): Promise<void>
  /** Checks the whole and gives it its name. */
  complete(): Promise<void>
  close(): Promise<void>
}

/** What is to come into a file, and the version of where it comes from. */
export type Contents = { head: Uint8Array; size: number; version: string }

/**
 * Begins a file, or goes on with what an interrupted download left.
 * @throws UserError when that was of another source, or the disk refuses.
 */
export async function openPartial(path: string, contents: Contents): Promise<PartialFile> {
  const [partial, notes] = [`${path}.partial`, `${path}.partial.journal`]
  const { file, journal } = await writing(partial, () => openBoth(partial, notes, contents))
  let isOpen = true
  const close = async () => {
    if (!isOpen) return
    isOpen = false
    journal.close()
    await file.close()
  }
  return {
    isDone: journal.isDone,
    write: (bytes, position) => writing(partial, () => writeAll(file, bytes, position)),
    finish: (range) =>
      writing(partial, async () => {
        await file.datasync()
        journal.add(range)
      }),
    complete: () =>
      writing(partial, async () => {
        await file.sync()
        await close()
        openSafetensors(partial).close()
        await rename(partial, path)
        await rm(notes)
      }),
    close,
  }
}

/** The parts of a range's chunk that belong into the file, each with its place there. */
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

async function openBoth(partial: string, notes: string, { head, size, version }: Contents) {
  mkdirSync(dirname(partial), { recursive: true })
  const identity = { version, result: hashOf(head) }
  const begun = readIdentity(notes)
  const goesOn = begun !== undefined && statSync(partial, { throwIfNoEntry: false }) !== undefined
  if (goesOn && (begun.version !== version || begun.result !== identity.result))
    throw new UserError(`the source of ${partial} has changed since its download began`, {
      hint: `delete ${partial} and ${notes} to begin again`,
    })
  const file = await open(partial, goesOn ? 'r+' : 'w')
  try {
    if (!goesOn) await begin(file, head, size)
    const journal: Journal = goesOn ? openJournal(notes) : startJournal(notes, identity)
    return { file, journal }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function begin(file: FileHandle, head: Uint8Array, size: number) {
  await file.truncate(size)
  await writeAll(file, head, 0)
  await file.sync()
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number) {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
}

/**
 * Which ranges of a download are safely on disk: a file of lines beside it. Each says one range, and is written after the range's bytes are,
 * so that a download can be killed at any moment and go on.
 */

/** What must be the same for a download to go on. */
export type Identity = {
  /** Of the source, as its place tells it. */
  version: string
  /** Hash of the head of the result: which tensors, from what. */
  result: string
}

export type Journal = {
  isDone(range: Range): boolean
  /** Call it when the range's bytes are durable. */
  add(range: Range): void
  close(): void
}

export const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16)

/** What the first line says; undefined where there is no journal, or none that says it. */
export function readIdentity(path: string): Identity | undefined {
  if (!existsSync(path)) return undefined
  const [first] = wholeLines(path)
  return (first as { identity?: Identity } | undefined)?.identity
}

export function startJournal(path: string, identity: Identity): Journal {
  replaceFile(path, [`${JSON.stringify({ identity })}\n`])
  return openJournal(path)
}

/** Goes on with a journal; a line that was cut off says nothing. */
export function openJournal(path: string): Journal {
  const lines = wholeLines(path)
  replaceFile(path, [lines.map((line) => `${JSON.stringify(line)}\n`).join('')])
  const done = new Set(lines.flatMap((line) => (line as { done?: [number, number] }).done?.join('-') ?? []))
  const fd = openSync(path, 'a')
  return {
    isDone: ({ start, end }) => done.has(`${start}-${end}`),
    add: ({ start, end }) => writeSync(fd, `${JSON.stringify({ done: [start, end] })}\n`),
    close: () => closeSync(fd),
  }
}

function wholeLines(path: string): unknown[] {
  const text = readFileSync(path, 'utf8')
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
    .flatMap((line) => {
      try {
        return [JSON.parse(line)]
      } catch {
        return [] // a power cut can leave anything
      }
    })
}
