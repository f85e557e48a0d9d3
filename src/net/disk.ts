/** The disk: whether there is room before a download begins, what is there already, and what its refusals mean. */
import { closeSync, existsSync, openSync, readSync, statfsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { UserError } from '../platform/errors.ts'
import type { Plan } from './ranges.ts'

/** For the disk that a path lies on, or will lie on. */
export function freeBytes(path: string): number {
  let folder = resolve(path)
  while (!existsSync(folder)) folder = dirname(folder)
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

/**
 * @param plans for files on one disk; what was written of them counts.
 * @throws UserError when there is not enough room for the rest.
 */
export function requireSpace(plans: readonly Pick<Plan, 'path' | 'size'>[], free = freeBytes) {
  const [{ path } = { path: '.' }] = plans
  const needed = plans.reduce((sum, { path, size }) => sum + size - occupiedBytes(`${path}.partial`), 0)
  const there = free(dirname(path))
  if (needed <= there) return
  throw new UserError(`${dirname(path)} needs ${sizeText(needed)} for it, but its disk has ${sizeText(there)} free`, {
    hint: `free ${sizeText(needed - there)}, or choose another place with --out`,
  })
}

/**
 * Whether an earlier pull has made this file.
 * @throws UserError when something else has its name.
 */
export function isThere({ path, head, size }: Pick<Plan, 'path' | 'head' | 'size'>): boolean {
  if (!existsSync(path)) return false
  const found = statSync(path)
  if (found.isFile() && found.size === size && Buffer.from(head).equals(readStart(path, head.length))) return true
  throw new UserError(`${path} is there already, and is not what would be pulled`, {
    hint: 'move it away, or choose another place with --out',
  })
}

/** `8.52 GB`, `158 MB`, decimal as disks and the hub count. */
export const sizeText = (bytes: number) =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : `${(bytes / 1e9).toFixed(2)} GB`

/** Does what writes to `path`, and says in a sentence what the disk refuses. */
export async function writing<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (cause) {
    const refusal = refusals[(cause as NodeJS.ErrnoException).code ?? '']
    if (refusal === undefined) throw cause
    throw new UserError(`${path} cannot be written: ${refusal}`, {
      hint: 'mend that and run it again: it goes on where it stopped',
      cause,
    })
  }
}

const refusals: Readonly<Record<string, string>> = {
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

/** A file that was made long before it was filled occupies less than its size. */
const occupiedBytes = (path: string) => (existsSync(path) ? statSync(path).blocks * 512 : 0)

function readStart(path: string, length: number): Uint8Array {
  const fd = openSync(path, 'r')
  try {
    const bytes = new Uint8Array(length)
    return bytes.subarray(0, readSync(fd, bytes, 0, length, 0))
  } finally {
    closeSync(fd)
  }
}
