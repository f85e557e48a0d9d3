/** Only one process at a time may write into a folder. A lock is removed when its process no longer exists, because a killed process cannot remove it. */
import { existsSync, lstatSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { UserError } from './errors.ts'
import { atExit, createFile, isRunning, makeFolders, temporaryPath } from './files.ts'

export type FolderLock = { release(): void }

/** A process, distinguishable from a later one with the same pid. */
export type Owner = { pid: number; host: string; boot: string; started: string }

/** The content of a lock, and its age. */
export type Lock = { text: string; seconds: number }

export const lockFileName = 'run.lock'

/**
 * Creates the folder and locks it.
 * @throws UserError when another process has locked it.
 */
export function lockFolder(folder: string): FolderLock {
  makeFolder(folder)
  const path = join(folder, lockFileName)
  const ours = JSON.stringify(thisProcess())
  claim(path, ours)
  const release = () => {
    released()
    if (readLock(path)?.text === ours) rmSync(path, { force: true })
  }
  const released = atExit(release)
  return { release }
}

/** Who holds the lock of a folder, in words; `gone` where that process is gone, undefined where there is no lock. */
export function lockHolder(folder: string): string | 'gone' | undefined {
  const lock = readLock(join(folder, lockFileName))
  return lock && (holderOf(lock) ?? 'gone')
}

/**
 * Removes the lock of a process on another machine, of which cannot be known here whether it still runs: a container that was replaced, a machine that is
 * gone. Only for those who know otherwise that it does not.
 */
export function removeForeignLock(folder: string) {
  const path = join(folder, lockFileName)
  const lock = readLock(path)
  const owner = lock && parseOwner(lock.text)
  if (owner && owner.host !== hostname()) breakLock(path, lock)
}

function claim(path: string, ours: string) {
  for (let tries = 0; tries < 10; tries++) {
    if (createFile(path, ours)) return
    const theirs = readLock(path)
    const holder = theirs && holderOf(theirs)
    if (holder !== undefined) throw inUse(path, holder)
    if (theirs) breakLock(path, theirs)
  }
  throw inUse(path, 'several processes at once')
}

/** The holder in words; undefined where that process is gone. */
export function holderOf({ text, seconds }: Lock): string | undefined {
  const owner = parseOwner(text)
  if (!owner) return seconds < secondsToWrite ? 'a process that is just starting' : undefined
  if (owner.host !== hostname()) return `process ${owner.pid} on ${owner.host}` // whether it still runs cannot be known here
  return isAlive(owner) ? `process ${owner.pid}` : undefined
}

/** On disks without links a lock is empty for a moment after its creation. An older empty lock is of a process that was killed in that moment. */
const secondsToWrite = 5

function makeFolder(folder: string) {
  try {
    makeFolders(folder)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT')
      throw new UserError(`${folder} cannot be created: ${whyNot(folder)}`, {
        hint: 'choose another folder with --out',
        cause,
      })
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw cause
    throw new UserError(`${folder} is a file`, { hint: 'choose a folder with --out', cause })
  }
}

const whyNot = (folder: string) =>
  lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink()
    ? 'it is a link to a place that does not exist'
    : 'there can be no new folders in that place'

export function readLock(path: string): Lock | undefined {
  try {
    return { text: readFileSync(path, 'utf8'), seconds: (Date.now() - statSync(path).mtimeMs) / 1000 }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

/** Two processes may find the same lock abandoned. The one that moves it away checks that it was that lock, and otherwise puts it back. */
export function breakLock(path: string, expected: Lock) {
  const aside = temporaryPath(path)
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const moved = readFileSync(aside, 'utf8')
  rmSync(aside)
  if (moved !== expected.text) createFile(path, moved)
}

export const thisProcess = (): Owner => ({
  pid: process.pid,
  host: hostname(),
  boot: bootId(),
  started: startOf(process.pid) ?? '',
})

function parseOwner(text: string): Owner | undefined {
  try {
    return ownerSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

const ownerSchema = z.object({ pid: z.int().positive(), host: z.string(), boot: z.string(), started: z.string() })

/** The pid alone is not enough: after a restart, or after a while, another process can have it. */
const isAlive = ({ pid, boot, started }: Owner) => boot === bootId() && started === startOf(pid)

const bootId = () => readIfThere('/proc/sys/kernel/random/boot_id')?.trim() ?? ''

/** The start time of a running process in clock ticks, or an empty text where there is no /proc; undefined where it does not run. */
function startOf(pid: number): string | undefined {
  if (existsSync('/proc/self/stat')) {
    const stat = readIfThere(`/proc/${pid}/stat`)
    const [state, ...rest] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [] // the process name before it may contain anything
    return state === undefined || state === 'Z' ? undefined : rest[18]
  }
  return isRunning(pid) ? '' : undefined
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

const inUse = (path: string, holder: string) =>
  new UserError(`${dirname(path)} is being written by ${holder}`, {
    hint: `wait for it, or stop it; if it is certainly gone, remove ${path}`,
    code: 'machine_error',
  })
