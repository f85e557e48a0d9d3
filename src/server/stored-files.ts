/**
 * The files of the server: what clients upload, and what runs write. They lie below the folder `files` of the server's data. A key is a path below it, with
 * `/`: `uploads/<id>/pairs.zip`, `runs/<request id>/lora.safetensors`. Ids are random UUIDs, so that the URL of a file is the permission to read it. Nothing outside their folder can be reached: keys have no `..`, and links that lead out are not followed.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { getMimeType, mimes } from 'hono/utils/mime'
import { clientConfig, isRunConfig, largestConfigBytes } from './client-config.ts'

/** A file object of the API. */
export type FileObject = { url: string; content_type: string; file_name: string; file_size: number }

export type StoredFile = { key: string; name: string; type: string; size: number; modified: Date }

/** @param content what clients get instead of what the handle reads; `size` is that of it. */
export type OpenedFile = StoredFile & { handle: FileHandle; content?: Buffer | undefined }

export type StoredFiles = {
  /** `<data>/files` */
  folder: string
  /** The path of a key, whether or not there is a file. @throws for text that is not a key. */
  pathOf(key: string): string
  find(key: string): Promise<StoredFile | undefined>
  /** The caller closes the handle. */
  open(key: string): Promise<OpenedFile | undefined>
  /** The same file as it was written: for workers. */
  openWritten(key: string): Promise<OpenedFile | undefined>
}

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'

/** The ids of requests and uploads. */
export const isUuid = (text: string) => new RegExp(`^${uuid}$`).test(text)

const keyPattern = new RegExp(`^(?:uploads/${uuid}/[^/]+|runs/${uuid}(?:/[^/]+)+)$`)

/** `uploads/<id>/<name>` or `runs/<id>/<path>`. Names that begin with a dot are the server's own, such as unfinished uploads. */
export const isKey = (text: string) =>
  keyPattern.test(text) &&
  text
    .split('/')
    .every(
      (name) => Buffer.byteLength(name) <= 255 && !/^\.|[\p{Cc}\\]/u.test(name) && (sep === '/' || !name.includes(':')),
    )

/** @param folder `<data>/files`. */
export function openStoredFiles(folder: string): StoredFiles {
  const pathOf = (key: string) => {
    if (!isKey(key)) throw new Error(`${JSON.stringify(key)} is not the key of a file`)
    return join(folder, ...key.split('/'))
  }
  const openWritten: StoredFiles['open'] = async (key) => {
    if (!isKey(key)) return undefined
    const handle = await openIfThere(pathOf(key))
    if (!handle) return undefined
    try {
      const stats = await handle.stat()
      const isInside = (await realpath(pathOf(key))).startsWith((await realpath(folder)) + sep)
      if (stats.isFile() && isInside) {
        const name = key.slice(key.lastIndexOf('/') + 1)
        return { key, name, type: typeOf(name), size: stats.size, modified: stats.mtime, handle }
      }
    } catch (error) {
      await handle.close()
      throw error
    }
    await handle.close()
    return undefined
  }
  const openKey: StoredFiles['open'] = async (key) => {
    const file = await openWritten(key)
    if (!file || !isRunConfig(key)) return file
    try {
      const text = file.size > largestConfigBytes ? '' : await file.handle.readFile('utf8')
      const content = Buffer.from(clientConfig(text))
      return { ...file, size: content.length, content }
    } catch (error) {
      await file.handle.close()
      throw error
    }
  }
  return {
    folder,
    pathOf,
    open: openKey,
    openWritten,
    find: async (key) => {
      const opened = await openKey(key)
      if (!opened) return undefined
      const { handle, content: _, ...file } = opened
      await handle.close()
      return file
    },
  }
}

/** Without blocking: a pipe in the folder of a run would otherwise hold a thread until it has a writer. */
async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK | (constants.O_NOFOLLOW ?? 0))
  } catch (error) {
    const codes = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EISDIR', 'ENAMETOOLONG', 'ENXIO']
    if (codes.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

const moreTypes = {
  wav: 'audio/wav',
  flac: 'audio/flac',
  ogg: 'audio/ogg',
  m4a: 'audio/mp4',
  aiff: 'audio/aiff',
  safetensors: 'application/octet-stream',
  jsonl: 'application/x-ndjson',
}

const typeOf = (name: string) => getMimeType(name, { ...mimes, ...moreTypes }) ?? 'application/octet-stream'

/** The URL of a key. @param base of the server, without a slash at its end. */
export const urlOfKey = (base: string, key: string) =>
  `${base}/files/${key.split('/').map(encodeURIComponent).join('/')}`

/** The key in the path of a URL, such as `/files/uploads/<id>/pairs.zip`; undefined where there is none. */
export function keyOfPath(path: string): string | undefined {
  const [, encoded] = /^\/files\/(.+)$/.exec(path) ?? []
  return encoded === undefined ? undefined : decodedKey(encoded)
}

/** A key as it is written in URLs; undefined for what is none. */
export function decodedKey(encoded: string): string | undefined {
  try {
    const names = encoded.split('/').map(decodeURIComponent)
    const key = names.join('/')
    return names.every((name) => !name.includes('/')) && isKey(key) ? key : undefined
  } catch {
    return undefined // %zz
  }
}

export const fileObject = (base: string, { key, name, type, size }: StoredFile): FileObject => ({
  url: urlOfKey(base, key),
  content_type: type,
  file_name: name,
  file_size: size,
})
