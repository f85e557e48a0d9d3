/** Writing so that a file is either the old one or the new one, never half of it. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Writes the parts one after another beside `path`, makes them durable, then renames over it. Creates the folder. */
export function replaceFile(path: string, parts: readonly (Uint8Array | string)[]) {
  mkdirSync(dirname(path), { recursive: true })
  const beside = `${path}.${process.pid}.tmp`
  try {
    const fd = openSync(beside, 'w')
    try {
      for (const part of parts) writeAll(fd, typeof part === 'string' ? Buffer.from(part) : part)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(beside, path)
  } catch (error) {
    rmSync(beside, { force: true })
    throw error
  }
}

export const replaceJson = (path: string, value: unknown) => replaceFile(path, [`${JSON.stringify(value, null, 2)}\n`])

function writeAll(fd: number, bytes: Uint8Array) {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
}
