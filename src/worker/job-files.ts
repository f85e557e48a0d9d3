/** Where a worker finds the files of the server, and where it writes the results of a request. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { freeBytesAt } from '../machine/hardware.ts'
import { downloadInput } from '../net/download-input.ts'
import { UserError } from '../platform/errors.ts'

export type JobFiles = {
  /**
   * The folder of a request.
   * @param attempt of the claim.
   */
  open(requestId: string, attempt: number): Promise<JobFolder>
  /** The request is completed, or of another worker: what only this one has of it is removed. */
  discard(requestId: string): Promise<void>
  /** Free bytes on the disk of the runs. */
  freeBytes(): number
}

/** With less room on the disk of the runs, requests wait: each of them would fail. */
export const leastFreeBytes = 256e6

export type JobFolder = {
  /** Of the run, or of the results. It may not exist yet. */
  readonly path: string
  /** Gets what earlier workers have saved. No process may write into the folder meanwhile. */
  load(signal: AbortSignal): Promise<void>
  /** The path of a file of the server. @throws UserError when it is gone. */
  input(key: string, signal: AbortSignal): Promise<string>
  /** The path of a copy of a file elsewhere on the web, which is downloaded once. @throws UserError when it cannot be. */
  download(url: string, signal: AbortSignal): Promise<string>
  /** The key of a file of the folder. */
  keyOf(name: string): string
  /**
   * Saves the folder, so that another worker can go on from here. Called after each checkpoint and at the end.
   * @throws UserError where it would fail again.
   */
  save(): Promise<void>
}

/** A saved file of a run, as the server lists it. */
export type RunFile = {
  /** Relative to the folder of the run, with `/`. */
  path: string
  size: number
  /** In hexadecimal digits. */
  sha256: string
}

/** Where the inputs of a request are that were downloaded for it. @param dataFolder of the server. */
export const downloadsFolder = (dataFolder: string, requestId: string) => join(dataFolder, 'downloads', requestId)

/**
 * For a worker that shares the disk of the server: there is nothing to copy.
 * @param dataFolder of the server.
 * @param allowPrivate whether URLs may lead into the network of this machine.
 */
export function localFiles(dataFolder: string, { allowPrivate = false } = {}): JobFiles {
  const files = join(dataFolder, 'files')
  return {
    open: async (requestId) => {
      const path = join(files, checkedKey(runKey(requestId)))
      mkdirSync(join(files, 'runs'), { recursive: true })
      return {
        path,
        load: async () => {},
        input: async (key) => {
          const input = join(files, checkedKey(key))
          if (!existsSync(input)) throw goneFile(key)
          return input
        },
        download: (url, signal) =>
          downloadOnce(url, join(downloadsFolder(dataFolder, requestId), digest(url)), { allowPrivate, signal }),
        keyOf: (name) => runKey(requestId, name),
        save: async () => {},
      }
    },
    discard: async () => {},
    freeBytes: () => freeBytesAt(files),
  }
}

/** A download is moved into its folder when it is complete. */
export async function downloadOnce(
  url: string,
  folder: string,
  options: { allowPrivate: boolean; signal: AbortSignal },
) {
  const [downloaded] = existsSync(folder) ? readdirSync(folder) : []
  if (downloaded !== undefined) return join(folder, downloaded)
  const unfinished = `${folder}.unfinished`
  rmSync(unfinished, { recursive: true, force: true })
  const path = await downloadInput(url, unfinished, options)
  renameSync(unfinished, folder)
  return join(folder, basename(path))
}

/** A name for what belongs to a text. */
export const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16)

export const runKey = (requestId: string, ...names: string[]) => ['runs', requestId, ...names].join('/')

export const goneFile = (key: string) =>
  new UserError(`the file ${key.split('/').at(-1)} is no longer on the server`, {
    hint: 'upload it again',
    code: 'file_download_error',
  })

/** @throws UserError for a key that would lead out of the folder of the files. */
export function checkedKey(key: string): string {
  const isSafe = key.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  if (!isSafe || /[\\\0:]/.test(key))
    throw new UserError(`${JSON.stringify(key)} is not the key of a file`, { code: 'file_download_error' })
  return key
}
