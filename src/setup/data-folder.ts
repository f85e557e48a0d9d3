/**
 * What set-ups of TensorFlow keep in the data folder: the installation, downloads, and a trial folder for each set-up that runs. Only what carries a record
 * or a lock of this tool is ever removed or replaced, because the data folder can be any folder of the user.
 */
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { dataFolderHint, hasRecord, installationFolder } from '../engine/installation.ts'
import { bytesIn } from '../machine/hardware.ts'
import { UserError } from '../platform/errors.ts'
import { makeFolders } from '../platform/files.ts'
import { type FolderLock, lockFileName, lockFolder, lockHolder } from '../platform/lock.ts'

/** Where wheels are downloaded to. It is removed when the set-up has succeeded. */
export const downloadsFolder = (dataFolder: string) => join(dataFolder, 'tensorflow-downloads')

/**
 * @throws UserError when a place that the set-up needs is taken by something else.
 */
export function requireOwnPlaces(dataFolder: string) {
  for (const folder of [installationFolder(dataFolder), downloadsFolder(dataFolder)]) {
    const found = lstatSync(folder, { throwIfNoEntry: false })
    if (found && !found.isDirectory())
      throw new UserError(`${folder} is not a folder`, { hint: `move it away, or ${dataFolderHint}` })
  }
  const installation = installationFolder(dataFolder)
  if (isTaken(installation))
    throw new UserError(`${installation} is there already, and ltx-a2a did not make it`, {
      hint: `move it away, or ${dataFolderHint}`,
    })
}

/** Whether there is something that is not an installation of this tool. */
function isTaken(installation: string): boolean {
  const identity = () => lstatSync(installation, { throwIfNoEntry: false })?.ino
  for (;;) {
    const before = identity()
    const isForeign = entriesOf(installation).length > 0 && !hasRecord(installation)
    if (!isForeign || before === identity()) return isForeign
    // another set-up has moved the folder away while it was examined
  }
}

/** Empty for a folder that does not exist. */
function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return []
  }
}

/**
 * @param path a TensorFlow to set up.
 * @throws UserError when it lies where the set-up replaces or removes files.
 */
export function refuseOwnPlace(path: string, dataFolder: string) {
  const places = [installationFolder(dataFolder), downloadsFolder(dataFolder), ...trialsIn(dataFolder)]
  const place = places.find((folder) => liesIn(realPath(folder), realPath(path)))
  if (place === undefined) return
  throw new UserError(`${path} lies in ${place}, which the set-up replaces`, {
    hint: `move it elsewhere, or ${dataFolderHint}`,
  })
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** Whether a path is a folder or lies in it. */
export function liesIn(folder: string, path: string): boolean {
  const [first] = relative(folder, path).split('/')
  return first !== '..'
}

const trialPrefix = 'trial-'

/** A locked folder for one set-up. It is a data folder of its own, inside the other, so that the result can be moved in one step. */
export type Trial = { folder: string; remove(): void }

/** @throws UserError when the folder cannot be created. */
export function makeDataFolder(dataFolder: string) {
  try {
    makeFolders(dataFolder)
  } catch (cause) {
    throw new UserError(`the folder ${dataFolder} cannot be created`, { hint: dataFolderHint, cause })
  }
}

/** Creates the data folder where it is missing, and removes the trial folders of set-ups that were killed. */
export function makeTrial(dataFolder: string): Trial {
  makeDataFolder(dataFolder)
  removeAbandonedTrials(dataFolder)
  const folder = mkdtempSync(join(dataFolder, trialPrefix))
  const lock = lockFolder(folder)
  writeFileSync(join(folder, marker), '')
  makeFolders(installationFolder(folder))
  return { folder, remove: () => removeTrial(folder, lock) }
}

/** The lock goes last, so that no other set-up takes the folder for abandoned meanwhile. */
function removeTrial(folder: string, lock: FolderLock) {
  for (const name of entriesOf(folder).filter((name) => ![marker, lockFileName].includes(name)))
    rmSync(join(folder, name), { recursive: true, force: true })
  rmSync(join(folder, marker), { force: true })
  lock.release()
  removeIfEmpty(folder)
}

/** Tells trial folders from those of the user, which may have a similar name, and a lock of a training. */
const marker = '.setup-tensorflow'

/** The trial folders of all set-ups. */
const trialsIn = (dataFolder: string) =>
  entriesOf(dataFolder)
    .filter((name) => name.startsWith(trialPrefix))
    .map((name) => join(dataFolder, name))
    .filter((folder) => existsSync(join(folder, marker)))

/** An installation that a killed set-up had moved away is moved back. @returns the bytes of what was removed. */
function removeAbandonedTrials(dataFolder: string): number {
  let bytes = 0
  for (const trial of trialsIn(dataFolder)) {
    if (isRunning(trial)) continue
    putBack(trial, dataFolder)
    bytes += bytesIn(trial)
    rmSync(trial, { recursive: true, force: true, maxRetries: 3 }) // another set-up may be removing it, too
  }
  return bytes
}

/** Whether a process holds the lock of a folder. */
const isRunning = (folder: string) => !['gone', undefined].includes(lockHolder(folder))

const replacedPrefix = 'replaced-'

/** Moves the newest installation that was moved into a trial back, unless there is one. */
function putBack(trial: string, dataFolder: string) {
  const [newest] = entriesOf(trial)
    .filter((name) => name.startsWith(replacedPrefix) && hasRecord(join(trial, name)))
    .sort((a, b) => Number(b.slice(replacedPrefix.length)) - Number(a.slice(replacedPrefix.length)))
  const target = installationFolder(dataFolder)
  if (newest === undefined || lstatSync(target, { throwIfNoEntry: false })) return
  try {
    renameSync(join(trial, newest), target)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(code)) throw error // otherwise another set-up was faster
  }
}

/**
 * Moves the installation of a trial into the data folder. An earlier one is moved into the trial folder, and back if that fails. Several set-ups may do this
 * at the same time: one of their installations remains, and it is complete.
 * @throws UserError when there is something in its place that this tool did not make.
 */
export function moveIntoPlace(trial: string, dataFolder: string) {
  const target = installationFolder(dataFolder)
  for (let attempt = 1; ; attempt++) {
    requireOwnPlaces(dataFolder)
    moveAway(target, join(trial, `${replacedPrefix}${attempt}`))
    try {
      renameSync(installationFolder(trial), target)
      return
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (code === 'ENOTEMPTY' || code === 'EEXIST') continue // another set-up has moved its own there
      putBack(trial, dataFolder)
      throw error
    }
  }
}

function moveAway(path: string, target: string) {
  try {
    renameSync(path, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** Removes downloaded wheels, and the folder if nothing else is in it. @param lock of the folder, which is released. @returns the bytes. */
export function removeDownloads(dataFolder: string, lock: FolderLock): number {
  const folder = downloadsFolder(dataFolder)
  const bytes = bytesIn(folder)
  for (const name of entriesOf(folder))
    if (/^[\da-f]{16}$/.test(name)) rmSync(join(folder, name), { recursive: true, force: true })
  lock.release()
  removeIfEmpty(folder)
  return bytes
}

export function removeIfEmpty(folder: string) {
  try {
    rmdirSync(folder)
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** What `removeTensorFlow` removed, in bytes. */
export type Removed = { installation: number; downloads: number; trials: number }

/**
 * Removes what was set up, what interrupted set-ups have downloaded, and what killed ones have left.
 * @throws UserError while a set-up runs, or when there is something in its place that this tool did not make.
 */
export function removeTensorFlow(dataFolder: string): Removed {
  requireOwnPlaces(dataFolder)
  for (const folder of [downloadsFolder(dataFolder), ...trialsIn(dataFolder)]) {
    if (isRunning(folder))
      throw new UserError(`TensorFlow is being set up in ${dataFolder} by ${lockHolder(folder)}`, {
        hint: `wait for it, or stop it; if it is certainly gone, remove ${join(folder, lockFileName)}`,
      })
  }
  const folder = downloadsFolder(dataFolder)
  const hasDownloads = lstatSync(folder, { throwIfNoEntry: false }) !== undefined
  const downloads = hasDownloads ? removeDownloads(dataFolder, lockFolder(folder)) : 0
  const trials = removeAbandonedTrials(dataFolder)
  const installed = installationFolder(dataFolder)
  const installation = bytesIn(installed)
  rmSync(installed, { recursive: true, force: true })
  return { installation, downloads, trials }
}
