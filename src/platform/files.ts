/** Atomic writes, so that a file is either the old or the new one, and work for the exit of the process. */
import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { threadId } from 'node:worker_threads'

/**
 * Writes the parts to a temporary file beside `path`, flushes it to disk, and renames it to `path`. Creates the folder.
 * @param parts are iterated while they are written, so that they need not be in memory all at once.
 */
export function replaceFile(path: string, parts: Iterable<Uint8Array | string>) {
  mkdirSync(dirname(path), { recursive: true })
  const temporary = temporaryPath(path)
  try {
    withFile(temporary, 'w', (fd) => {
      for (const part of parts) writeAll(fd, typeof part === 'string' ? Buffer.from(part) : part)
      fsyncSync(fd)
    })
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  syncFolder(dirname(path))
}

/**
 * Replaces a file by one that `fill` writes at a temporary path beside it, which is flushed to disk and renamed. Creates the folder. Nothing is replaced
 * when `fill` throws.
 */
export async function replaceFileWith(path: string, fill: (temporary: string) => Promise<void>) {
  mkdirSync(dirname(path), { recursive: true })
  removeLeftovers(path)
  const temporary = temporaryPath(path)
  try {
    await fill(temporary)
    withFile(temporary, 'r+', fsyncSync)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  syncFolder(dirname(path))
}

/** As `replaceFile`, with parts that are made asynchronously. */
export const replaceFileAsync = (path: string, parts: AsyncIterable<Uint8Array | string>) =>
  replaceFileWith(path, async (temporary) => {
    const fd = openSync(temporary, 'w')
    try {
      for await (const part of parts) writeAll(fd, typeof part === 'string' ? Buffer.from(part) : part)
    } finally {
      closeSync(fd)
    }
  })

export const replaceJson = (path: string, value: unknown) => replaceFile(path, [`${JSON.stringify(value, null, 2)}\n`])

/**
 * Creates a file unless there is one. It is written to a temporary file, flushed to disk and linked, so that no process sees it empty; on disks without
 * links it is empty for a moment.
 * @param mode the permissions, less those that the process withholds.
 * @returns whether it was created.
 */
export function createFile(path: string, text: string, mode = 0o666): boolean {
  const temporary = temporaryPath(path)
  try {
    writeFileSync(temporary, text, { mode, flush: true })
    linkSync(temporary, path)
    return true
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (!noLinkErrors.includes(code)) throw error
    return createFileDirectly(path, text, mode)
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** The errors of disks that do not support links: FAT, and some network disks. */
export const noLinkErrors: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EMLINK']

function createFileDirectly(path: string, text: string, mode: number): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode, flush: true })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** A path beside `path`, for a file that will be renamed to it. No other call in any thread or process gives the same one. */
export const temporaryPath = (path: string) =>
  join(dirname(path), `${basename(path).slice(0, longestStem)}.${process.pid}-${threadId}-${++temporaryPaths}.tmp`)

/** In characters, so that a long file name does not become too long: file systems allow 255 bytes. */
const longestStem = 55

let temporaryPaths = 0

/** Whether a file has the name of a `temporaryPath`: it was left behind if its process was killed. */
export const isLeftover = (name: string) => /\.\d+(-\d+){0,2}\.tmp$/.test(name)

/** Removes the temporary files beside `path` whose processes were killed before they could be renamed to it. */
function removeLeftovers(path: string) {
  const start = `${basename(path).slice(0, longestStem)}.`
  for (const name of readdirSync(dirname(path))) {
    const [, pid] = /^(\d+)-\d+-\d+\.tmp$/.exec(name.slice(start.length)) ?? []
    if (pid !== undefined && name.startsWith(start) && !isRunning(Number(pid)))
      rmSync(join(dirname(path), name), { force: true })
  }
}

/** Whether there is a process with this pid. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0) // sends nothing
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // it belongs to another user
  }
}

/**
 * Creates a folder and those above it that are missing. Node's own search for the missing ones never ends where the system refuses new folders with
 * ENOENT, as in /proc.
 */
export function makeFolders(path: string) {
  const parent = dirname(path)
  if (parent !== path && !existsSync(parent)) makeFolders(parent)
  try {
    mkdirSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !statSync(path).isDirectory()) throw error
  }
}

/** Flushes a folder to disk: before that, a renamed file can have its old name again after a power failure. */
export function syncFolder(path: string) {
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    fsyncSync(fd)
  } catch {
    // not possible on Windows and on some network disks, where the rename alone has to suffice
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** As `syncFolder`, while other work goes on: a disk can take a second. */
export async function syncFolderAsync(path: string) {
  const handle = await open(path, 'r').catch(() => undefined)
  await handle?.sync().catch(() => undefined) // as above
  await handle?.close()
}

/** All files below a folder, relative to it and with `/`, sorted. None where there is no folder. */
export function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort()
}

/** The SHA-256 of a file, in hexadecimal digits. @throws the reason of the signal when it is aborted. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk)
  return hash.digest('hex')
}

/** Whether the disk, a quota or the limit on file sizes leaves no room. */
export const isDiskFull = (error: unknown) =>
  error instanceof Error && ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException).code ?? '')

/** Opens a file for as long as `use` needs it. */
export function withFile(path: string, flags: string, use: (fd: number) => void) {
  const fd = openSync(path, flags)
  try {
    use(fd)
  } finally {
    closeSync(fd)
  }
}

/** Writes all bytes, however many the system takes at a time. */
export function writeAll(fd: number, bytes: Uint8Array) {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
}

const cleanups = new Set<() => void>()

/**
 * Registers work for the exit of the process. What was registered last is done first.
 * @returns a function that removes it again.
 */
export function atExit(cleanup: () => void): () => void {
  if (cleanups.size === 0) process.once('exit', cleanUp)
  cleanups.add(cleanup)
  return () => {
    cleanups.delete(cleanup)
    if (cleanups.size === 0) process.off('exit', cleanUp)
  }
}

function cleanUp() {
  for (const cleanup of [...cleanups].reverse()) cleanup()
}
