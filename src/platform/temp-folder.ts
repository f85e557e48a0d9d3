/** Temporary folders. One whose process was killed is removed by the next process that needs one. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UserError } from './errors.ts'
import { atExit, isDiskFull } from './files.ts'
import { holderOf, readLock, thisProcess } from './lock.ts'

/** A folder for what is downloaded and extracted. It is removed by `remove()`, at the latest when the process exits. */
export type TempFolder = {
  /** A path for a new file; `extension` includes its dot. */
  newFile(extension: string): string
  remove(): Promise<void>
}

/** @throws UserError when the folder for temporary files does not exist, cannot be written to, or has no room. */
export async function makeTempFolder(): Promise<TempFolder> {
  removeAbandoned(tmpdir())
  const folder = await mkdtemp(join(tmpdir(), 'ltx-a2a-')).catch((cause: NodeJS.ErrnoException) => {
    if (isDiskFull(cause)) throw noTempRoom(cause)
    if (['EACCES', 'EPERM', 'EROFS'].includes(cause.code ?? ''))
      throw new UserError(`the folder for temporary files, ${tmpdir()}, cannot be written to`, {
        hint: 'set TMPDIR to a folder that can be written to',
        cause,
        code: 'machine_error',
      })
    if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') throw cause
    throw new UserError(`there is no folder ${tmpdir()} for temporary files`, {
      hint: 'set TMPDIR to a folder that exists, or unset it',
      cause,
      code: 'machine_error',
    })
  })
  const removed = atExit(() => rmSync(folder, { recursive: true, force: true }))
  const remove = async () => {
    await rm(folder, { recursive: true, force: true })
    removed()
  }
  try {
    writeFileSync(join(folder, ownerFile), JSON.stringify(thisProcess()))
  } catch (cause) {
    await remove()
    throw isDiskFull(cause) ? noTempRoom(cause) : cause
  }
  let files = 0
  return { newFile: (extension) => join(folder, `${++files}${extension}`), remove }
}

/** The error of a full disk, for what was written to a temporary folder. */
export const noTempRoom = (cause: unknown) =>
  new UserError(`there is no room for temporary files in ${tmpdir()}`, {
    hint: 'free some space, or set TMPDIR to another folder',
    cause,
    code: 'machine_error',
  })

/** Whether this is the error of a full disk, also one that was given a message for the user. */
export const isNoRoom = (error: unknown) => isDiskFull(error) || (error instanceof UserError && isDiskFull(error.cause))

/** In each temporary folder: the process to which it belongs. */
const ownerFile = 'ltx-a2a-owner.json'

/** The folders in which this process has looked for abandoned ones. */
const searched = new Set<string>()

function removeAbandoned(parent: string) {
  if (searched.has(parent)) return
  searched.add(parent)
  for (const name of namesIn(parent)) {
    if (!/^ltx-a2a-\w{6}$/.test(name)) continue
    try {
      const owner = readLock(join(parent, name, ownerFile))
      if (owner && holderOf(owner) === undefined) rmSync(join(parent, name), { recursive: true, force: true })
    } catch {
      // it belongs to another user, or is being removed
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // creating a folder in it says why
  }
}
