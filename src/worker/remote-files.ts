/**
 * For a worker on another machine: it fetches inputs from the server, works on its own disk, and sends the server what the run has written.
 *
 * A worker may die while it sends. What is on the server can be resumed at any moment, because the state is sent last, and is opened first: the metrics, LoRAs and
 * checkpoints that are sent are those of its step or newer, which a resumed run writes again. The server's copy is the run: a worker that gets a request again
 * begins with it, also where it has computed more.
 */
import { existsSync } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freeBytesAt } from '../machine/hardware.ts'
import { UserError } from '../platform/errors.ts'
import { filesBelow, sha256OfFile } from '../platform/files.ts'
import { lockHolder } from '../platform/lock.ts'
import { isContent } from '../train/run-folder.ts'
import { type FileServer, type FileServerOptions, openFileServer } from './file-server.ts'
import { digest, downloadOnce, type JobFiles, type JobFolder, type RunFile, runKey } from './job-files.ts'

export type RemoteFilesOptions = Omit<FileServerOptions, 'closing'> & {
  /** Where runs, inputs and downloads are while this worker has them. */
  folder: string
  /** Whether URLs of clients may lead into the network of this machine. */
  allowPrivate?: boolean | undefined
}

export type RemoteFiles = JobFiles &
  Pick<FileServer, 'check'> & {
    /** Removes what a worker that was killed has left in the folder, which only this one may use. */
    removeLeft(): Promise<void>
    /** Ends what is still being sent. */
    close(): void
  }

/** @throws UserError for a server that is not an http(s) URL. */
export function remoteFiles({ folder, allowPrivate = false, ...options }: RemoteFilesOptions): RemoteFiles {
  const closing = new AbortController()
  const server = openFileServer({ ...options, closing: closing.signal })
  const placeOf = (kind: 'runs' | 'inputs' | 'downloads', requestId: string) => join(folder, kind, requestId)
  return {
    check: server.check,
    open: async (requestId, attempt) => {
      await mkdir(join(folder, 'runs'), { recursive: true })
      const path = placeOf('runs', requestId)
      const inputs = placeOf('inputs', requestId)
      const copy = createCopy(server, { requestId, attempt, path })
      return {
        path,
        load: copy.load,
        input: async (key, signal) => {
          const file = join(inputs, digest(key), key.slice(key.lastIndexOf('/') + 1))
          if (!existsSync(file)) await server.get(key, file, signal)
          return file
        },
        download: (url, signal) =>
          downloadOnce(url, join(placeOf('downloads', requestId), digest(url)), { allowPrivate, signal }),
        keyOf: (name) => runKey(requestId, name),
        save: oneAfterAnother(copy.save),
      }
    },
    discard: async (requestId) => {
      for (const kind of kinds) await rm(placeOf(kind, requestId), { recursive: true, force: true })
    },
    removeLeft: async () => {
      const runs = join(folder, 'runs')
      const ids = existsSync(runs) ? await readdir(runs) : []
      // the training of that worker may still be saving
      await Promise.all(ids.map((id) => waitForRelease(join(runs, id))))
      for (const kind of kinds) await rm(join(folder, kind), { recursive: true, force: true })
    },
    close: () => closing.abort(),
    freeBytes: () => freeBytesAt(folder),
  }
}

const kinds = ['runs', 'inputs', 'downloads'] as const

/** In seconds. A process that has lost its worker gets 10 s to save. */
const longestWait = 15

async function waitForRelease(folder: string) {
  const startedAt = performance.now()
  while (isHeld(lockHolder(folder)) && performance.now() - startedAt < 1000 * longestWait) await sleep(100)
}

const isHeld = (holder: string | undefined) => holder !== undefined && holder !== 'gone'

/** Calls that come while the work is done share the next one. */
function oneAfterAnother(work: () => Promise<void>): () => Promise<void> {
  let running = Promise.resolve()
  let next: Promise<void> | undefined
  return () => {
    next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined
        running = work()
        return running
      })
    return next
  }
}

const stateName = 'state.safetensors'

/** How often files may change between their list and their download. */
const mostLoads = 3

/** The folder of a run on this machine, and the one on the server. */
function createCopy(
  server: FileServer,
  { requestId, attempt, path: folder }: { requestId: string; attempt: number; path: string },
): Pick<JobFolder, 'load' | 'save'> {
  /** What is on the server, as far as this worker knows: by path, which file it is here, and in which version. */
  const saved = new Map<string, string>()
  const local = (path: string) => join(folder, ...path.split('/'))

  /** @returns whether all files are here as they were listed. */
  const fetchAll = async (listed: readonly RunFile[], signal: AbortSignal): Promise<boolean> => {
    const isSame = async ({ path, sha256 }: RunFile) =>
      existsSync(local(path)) && (await sha256OfFile(local(path), signal)) === sha256
    for (const file of listed) {
      if (await isSame(file)) continue
      await server.getOwn({ requestId, attempt, path: file.path }, local(file.path), signal)
      if (!(await isSame(file))) return false
    }
    return true
  }

  const load = async (signal: AbortSignal) => {
    for (let loads = 1; ; loads++) {
      const listed = await server.list(requestId, signal)
      const paths = new Set(listed.map(({ path }) => path))
      for (const path of completeFiles(folder)) if (!paths.has(path)) await rm(local(path))
      if (await fetchAll(listed, signal)) {
        for (const path of paths) saved.set(path, versionOf(await stat(local(path))))
        return
      }
      if (loads === mostLoads)
        throw new UserError('the saved run changes while it is downloaded', {
          hint: 'check that no proxy changes files, and that only one server uses the data',
          code: 'machine_error',
        })
    }
  }

  const send = async (path: string, file: FileHandle) => {
    const found = await file.stat()
    const version = versionOf(found)
    if (saved.get(path) === version) return
    await server.put({ requestId, attempt, path }, file, found.size)
    saved.set(path, version)
  }
  const save = async () => {
    const state = await openIfThere(local(stateName))
    try {
      const paths = completeFiles(folder)
      for (const path of inOrder(paths)) {
        const file = await openIfThere(local(path))
        if (file) await send(path, file).finally(() => file.close())
      }
      if (state) await send(stateName, state)
      const gone = [...saved.keys()].filter((path) => !paths.includes(path) && !existsSync(local(path)))
      for (const path of gone) {
        await server.remove({ requestId, attempt, path })
        saved.delete(path)
      }
    } finally {
      await state?.close()
    }
  }
  return { load, save }
}

/** The config makes a folder a run. The state is sent apart from the others. */
const inOrder = (paths: readonly string[]) =>
  ['config.json', ...paths.filter((path) => path !== 'config.json')].filter((path) => path !== stateName)

/** Files are replaced by others, or appended to. */
const versionOf = ({ ino, size, mtimeMs }: { ino: number; size: number; mtimeMs: number }) =>
  [ino, size, mtimeMs].join('-')

/** The files of a run that are complete. */
const completeFiles = (folder: string) =>
  filesBelow(folder).filter((path) => isContent(basename(path)) && !/^\.|\.partial$/.test(basename(path)))

/** A file that another process replaces or removes meanwhile stays as it was. */
async function openIfThere(path: string): Promise<FileHandle | undefined> {
  return open(path).catch((error) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}
