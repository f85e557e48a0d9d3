/**
 * What clients upload. An upload is a folder with a random name, which its file enters under a temporary name: the file is there as a whole or not at all,
 * and once it is there it stays as it is. Parts of a large file are files of their own until they are joined.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { freeBytesAt } from '../machine/hardware.ts'
import { filesBelow, isDiskFull, isLeftover, noLinkErrors, syncFolderAsync, temporaryPath } from '../platform/files.ts'
import { tooLarge } from './body.ts'
import { HttpError } from './http-error.ts'
import type { ServerLimits } from './limits.ts'
import { isUuid, type StoredFiles } from './stored-files.ts'

type Place = (temporary: string, path: string) => Promise<void>

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

export type Uploads = {
  /** @param name as the client calls the file. @returns its key. Nobody but the client knows it, so that it is the permission to write the file, once. */
  start(name: string): Promise<string>
  /** @param bytes how many will come, where that is known. @throws HttpError 404 for a key that was not started, 400 where the file is there already, 507 without room. */
  write(key: string, chunks: Chunks, bytes?: number): Promise<void>
  /** @returns the id of an upload in parts. */
  startParts(key: string): Promise<string>
  /** @returns the entity tag of the part. A part that is sent again replaces the earlier one. */
  writePart(key: string, id: string, part: number, chunks: Chunks, bytes?: number): Promise<string>
  /** Joins the parts in this order. @throws HttpError 400 for a part that is not there. */
  join(key: string, id: string, parts: readonly number[]): Promise<void>
  /**
   * Writes a file of a run, or replaces it as a whole.
   * @param check called when all bytes are there, and throws where the file may not be replaced any more.
   */
  replace(key: string, chunks: Chunks, options: { bytes: number; check: () => Promise<void> }): Promise<void>
  /** Removes a file of a run, where there is one. */
  remove(key: string): Promise<void>
  /** All bytes that were written since the start of the server. */
  receivedBytes(): number
  /** Removes uploads that were begun and not finished, and what a server that was killed has left of files. Before the first request. */
  removeUnfinished(before: Date): Promise<void>
}

/** Parts of the clients are 10 MiB: enough for 97 GiB. */
export const mostParts = 10_000

export function openUploads(files: StoredFiles, limits: ServerLimits): Uploads {
  let received = 0
  const joining = new Set<string>()
  const uploadFolder = (key: string) => dirname(files.pathOf(key))

  const announcement = (key: string) => join(uploadFolder(key), '.name')
  const requireOpen = (key: string) => {
    const isAnnounced = existsSync(announcement(key)) && readFileSync(announcement(key), 'utf8') === basename(key)
    if (!isAnnounced) throw new HttpError(404, 'There is no such upload')
    if (existsSync(files.pathOf(key))) throw uploadedAlready()
  }
  const requireRoom = (bytes: number) => {
    if (freeBytesAt(files.folder) - bytes < limits.freeBytes) throw noRoom()
  }
  const partsFolder = (key: string, id: string) => {
    const folder = join(uploadFolder(key), `.${id}`)
    if (!isUuid(id) || !existsSync(folder)) throw new HttpError(404, 'There is no such upload')
    return folder
  }

  /** Puts the file there, unless another one got there first: whoever reads that one has its bytes to the end. */
  const placeOnce = async (temporary: string, path: string) => {
    try {
      await link(temporary, path)
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (code === 'EEXIST' || existsSync(path)) throw uploadedAlready()
      if (!noLinkErrors.includes(code)) throw error
      return rename(temporary, path)
    }
    await rm(temporary)
  }

  /** @param place moves the complete file to its path. @returns the hash of the content. */
  const writeFile = async (path: string, chunks: Chunks, bytes = 0, place: Place = rename) => {
    requireRoom(bytes)
    const temporary = temporaryPath(join(dirname(path), '.upload'))
    const hash = createHash('sha256')
    let unchecked = 0
    try {
      const handle = await open(temporary, 'wx')
      try {
        for await (const chunk of chunks) {
          await handle.writeFile(chunk)
          hash.update(chunk)
          unchecked += chunk.length
          if (unchecked < bytesBetweenChecks) continue
          unchecked = 0
          requireRoom(0)
        }
        await handle.sync()
      } finally {
        await handle.close()
      }
      await place(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw isDiskFull(error) ? noRoom() : error
    }
    await syncFolderAsync(dirname(path))
    return hash.digest('hex')
  }

  return {
    receivedBytes: () => received,
    start: async (name) => {
      requireRoom(0)
      const key = `uploads/${randomUUID()}/${fileNameOf(name)}`
      await mkdir(uploadFolder(key), { recursive: true })
      writeFileSync(announcement(key), basename(key)) // those who know the URL cannot add other files
      return key
    },
    write: async (key, chunks, bytes) => {
      requireOpen(key)
      if (bytes !== undefined && bytes > limits.uploadBytes) throw tooLarge(limits.uploadBytes)
      await writeFile(files.pathOf(key), counted(chunks, limits.uploadBytes), bytes, placeOnce)
    },
    startParts: async (key) => {
      requireOpen(key)
      const id = randomUUID()
      await mkdir(join(uploadFolder(key), `.${id}`))
      return id
    },
    writePart: async (key, id, part, chunks, bytes = 0) => {
      requireOpen(key)
      const folder = partsFolder(key, id)
      const others = (await readdir(folder)).filter((name) => name !== String(part))
      // other parts are being written: a temporary file may have its final name by now
      const sizes = await Promise.all(others.map((name) => sizeOf(join(folder, name))))
      const room = limits.uploadBytes - sizes.reduce((sum, size) => sum + size, 0)
      if (bytes > room) throw tooLarge(limits.uploadBytes)
      return `"${await writeFile(join(folder, String(part)), counted(chunks, room), bytes)}"`
    },
    join: async (key, id, parts) => {
      requireOpen(key)
      const folder = partsFolder(key, id)
      if (new Set(parts).size < parts.length) throw new HttpError(400, 'A part is named twice')
      if (joining.has(key)) throw new HttpError(400, 'The parts are being joined already')
      const paths = parts.map((part) => join(folder, String(part)))
      const missing = paths.find((path) => !existsSync(path))
      if (missing !== undefined) throw new HttpError(400, `Part ${basename(missing)} is missing`)
      joining.add(key)
      await writeFile(files.pathOf(key), contentOf(paths), 0, placeOnce).finally(() => joining.delete(key))
      await rm(folder, { recursive: true, force: true })
    },
    replace: async (key, chunks, { bytes, check }) => {
      if (bytes > limits.uploadBytes) throw tooLarge(limits.uploadBytes)
      const path = files.pathOf(key)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, counted(chunks, limits.uploadBytes), bytes, async (temporary) => {
        await check()
        await rename(temporary, path)
      })
    },
    remove: (key) => rm(files.pathOf(key), { force: true }),
    removeUnfinished: async (before) => {
      for (const path of filesBelow(files.folder))
        if (/^\.upload\./.test(basename(path)) && isLeftover(path)) await rm(join(files.folder, path), { force: true })
      const root = join(files.folder, 'uploads')
      for (const id of existsSync(root) ? await readdir(root) : []) {
        const folder = join(root, id)
        const names = await readdir(folder)
        const isFinished = names.some((name) => !name.startsWith('.'))
        if (!isFinished && (await stat(folder)).mtime < before) await rm(folder, { recursive: true, force: true })
      }
    },
  }

  /** The chunks, which are counted and end with an error after so many bytes. */
  async function* counted(chunks: Chunks, most: number) {
    let seen = 0
    for await (const chunk of chunks) {
      received += chunk.length
      seen += chunk.length
      if (seen > most) throw tooLarge(limits.uploadBytes)
      yield chunk
    }
  }
}

const bytesBetweenChecks = 64 * 2 ** 20

/** Not 409, which clients repeat. */
const uploadedAlready = () => new HttpError(400, 'The file was uploaded already', { type: 'file_already_uploaded' })

export const noRoom = () => new HttpError(507, 'The disk of the server is full', { type: 'insufficient_storage' })

/** Of a file that may have been renamed: 0 then. */
const sizeOf = (path: string) =>
  stat(path).then(
    ({ size }) => size,
    (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? 0 : Promise.reject(error)),
  )

async function* contentOf(paths: readonly string[]) {
  for (const path of paths) yield* createReadStream(path, { highWaterMark: 2 ** 20 }) as AsyncIterable<Uint8Array>
}

/** Of what a client calls a file, only the end is read. */
const longestSentName = 1000

/** In UTF-8. File systems take 255. */
const longestName = 200

/** The name of an uploaded file on this machine: what the client calls it, as far as that is a file name everywhere. */
export function fileNameOf(name: string): string {
  const safe = (name.slice(-longestSentName).split(/[/\\]/).at(-1) ?? '')
    .normalize('NFC')
    .replace(/[\p{C}<>:"|?*]/gu, '_')
    .replace(/^[.\s]+|[.\s]+$/g, '')
  const [, stem = safe, extension = ''] = /^(.+?)(\.[A-Za-z\d]{1,12})$/.exec(safe) ?? []
  const short = new TextDecoder().decode(Buffer.from(stem).subarray(0, longestName)).replace(/\uFFFD+$/, '')
  return short + extension || 'upload.bin'
}
