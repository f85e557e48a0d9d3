/** One process at a time writes into a run's folder. A lock whose process is dead is broken: a kill leaves no chance to remove it. */
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { UserError } from './errors.ts'

export type RunLock = { release(): void }

/** A process, told apart from a later one that was given the same number. */
export type Owner = { pid: number; host: string; boot: string; started: string }

/** A lock's text, and how long ago it was written. */
export type Lock = { text: string; seconds: number }

export const lockFile = 'run.lock'

/**
 * Makes the folder and locks it.
 * @throws UserError when another process has it.
 */
export function lockFolder(folder: string): RunLock {
  makeFolder(folder)
  const path = join(folder, lockFile)
  const ours = JSON.stringify(thisProcess())
  claim(path, ours)
  const release = () => {
    process.off('exit', release)
    if (readLock(path)?.text === ours) rmSync(path, { force: true })
  }
  process.once('exit', release) // Ctrl-C a second time
  return { release }
}

function claim(path: string, ours: string) {
  for (let tries = 0; tries < 10; tries++) {
    if (tryCreate(path, ours)) return
    const theirs = readLock(path)
    const holder = theirs && holderOf(theirs)
    if (holder !== undefined) throw inUse(path, holder)
    if (theirs) breakLock(path, theirs)
  }
  throw inUse(path, 'several processes at once')
}

/** Who holds it, in words; undefined where that process is gone. */
export function holderOf({ text, seconds }: Lock): string | undefined {
  const owner = parseOwner(text)
  if (!owner) return seconds < secondsToWrite ? 'a process that is just starting' : undefined
  if (owner.host !== hostname()) return `process ${owner.pid} on ${owner.host}` // nobody here can know whether it lives
  return isAlive(owner) ? `process ${owner.pid}` : undefined
}

/** Where there are no links, an instant lies between a lock's creation and its text. Older ones without text are of a process killed in it. */
const secondsToWrite = 5

function makeFolder(folder: string) {
  try {
    mkdirSync(folder, { recursive: true })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw cause
    throw new UserError(`${folder} is a file`, { hint: 'choose a folder with --out', cause })
  }
}

/** Written beside and linked, so that nobody sees a lock without its text. */
function tryCreate(path: string, text: string): boolean {
  const beside = asideOf(path)
  writeFileSync(beside, text)
  try {
    linkSync(beside, path)
    return true
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (!withoutLinks.includes(code)) throw error
    return tryCreateAtOnce(path, text)
  } finally {
    rmSync(beside, { force: true })
  }
}

/** What disks say that know no links: FAT, and some on a network. */
const withoutLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EMLINK']

function tryCreateAtOnce(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

const asideOf = (path: string) => `${path}.${process.pid}.tmp`

function readLock(path: string): Lock | undefined {
  try {
    return { text: readFileSync(path, 'utf8'), seconds: (Date.now() - statSync(path).mtimeMs) / 1000 }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Two processes may judge the same lock at once: whoever moves it away looks whether it was that one, and else puts it back. */
function breakLock(path: string, judged: Lock) {
  const aside = asideOf(path)
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const moved = readFileSync(aside, 'utf8')
  rmSync(aside)
  if (moved !== judged.text) tryCreate(path, moved)
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

/** The number alone would not do: after a restart, and after a while, it belongs to someone else. */
const isAlive = ({ pid, boot, started }: Owner) => boot === bootId() && started === startOf(pid)

const bootId = () => readIfThere('/proc/sys/kernel/random/boot_id')?.trim() ?? ''

/** When a living process began, in the kernel's ticks, or just that it lives where there is no /proc; undefined where it does not. */
function startOf(pid: number): string | undefined {
  if (existsSync('/proc/self/stat')) {
    const stat = readIfThere(`/proc/${pid}/stat`)
    const [state, ...rest] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [] // the name before it may hold anything
    return state === undefined || state === 'Z' ? undefined : rest[18]
  }
  try {
    process.kill(pid, 0)
    return ''
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? '' : undefined
  }
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
  })
