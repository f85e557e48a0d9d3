/**
 * Which ranges of a download are safely on disk: a file of lines beside it. Each says one range, and is written after the range's bytes are,
 * so that a download can be killed at any moment and go on.
 */
import { createHash } from 'node:crypto'
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs'
import { replaceFile } from '../files.ts'
import type { Range } from './ranges.ts'

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
