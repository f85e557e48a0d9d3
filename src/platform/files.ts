/** Writing so that a file is either the old one or the new one, never half of it, whatever happens in between. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/**
 * Writes the parts one after another beside `path`, makes them durable, then renames over it. Creates the folder.
 * @param parts each is asked for when the one before is written, so what is made on the way never lies in memory as a whole.
 */
export function replaceFile(path: string, parts: Iterable<Uint8Array | string>) {
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
  syncFolder(dirname(path))
}

export const replaceJson = (path: string, value: unknown) => replaceFile(path, [`${JSON.stringify(value, null, 2)}\n`])

/** What `replaceFile` leaves behind when its process is killed. */
export const isLeftover = (name: string) => /\.\d+\.tmp$/.test(name)

/** Until its folder is written, a renamed file can still bear its old name after a power cut. */
export function syncFolder(path: string) {
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    fsyncSync(fd)
  } catch {
    // Windows opens no folders, and some network disks cannot do this: there the rename alone must do
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** The disk, a quota or the system's limit on file sizes leaves no room. */
export const isDiskFull = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '')

function writeAll(fd: number, bytes: Uint8Array) {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
}

/** Folders for what is downloaded and extracted. They are removed on `remove()`, and at the latest when the process exits. */

export type TempFolder = {
  /** A path for a new file; `extension` includes its dot. */
  newFile(extension: string): string
  remove(): Promise<void>
}

const open = new Set<string>()

export async function makeTempFolder(): Promise<TempFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'ltx-a2a-'))
  if (open.size === 0) process.once('exit', removeAll)
  open.add(folder)
  let files = 0
  return {
    newFile: (extension) => join(folder, `${++files}${extension}`),
    remove: async () => {
      await rm(folder, { recursive: true, force: true })
      open.delete(folder)
      if (open.size === 0) process.off('exit', removeAll)
    },
  }
}

/** Someone may call `process.exit` with a source still open. */
function removeAll() {
  for (const folder of open) rmSync(folder, { recursive: true, force: true })
}
