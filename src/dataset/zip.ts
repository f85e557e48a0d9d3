/** Zip archives: listed when opened, extracted one file at a time. yauzl refuses paths that would lead out of a folder. */
import { createWriteStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { extname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Entry, openPromise, type ZipFile } from 'yauzl'
import { UserError } from '../errors.ts'
import type { FileTree } from './source.ts'
import { makeTempFolder } from './temp-folder.ts'

/** A zip bomb is small on the outside. These leave room for 50 hours of stereo wav in 20,000 files. */
export const zipLimits = { files: 20_000, fileBytes: 2 * 2 ** 30, totalBytes: 64 * 2 ** 30 }

/**
 * @param shown what the archive is called in messages
 * @throws UserError when it is not a zip, empty, encrypted, damaged, or over the limits.
 */
export async function openZip(path: string, shown: string, limits = zipLimits): Promise<FileTree> {
  const archive = await openArchive(path, shown)
  try {
    const entries = await listFiles(archive, shown)
    checkLimits(entries, shown, limits)
    const folder = await makeTempFolder()
    return {
      paths: entries.map(({ fileName }) => fileName).sort(),
      withFile: async (name, use) => {
        const file = folder.newFile(extname(name).toLowerCase())
        try {
          await extract(archive, find(entries, name), file, `${name} in ${shown}`)
          return await use(file)
        } finally {
          await rm(file, { force: true })
        }
      },
      close: async () => {
        archive.close()
        await folder.remove()
      },
    }
  } catch (error) {
    archive.close()
    throw error
  }
}

async function openArchive(path: string, shown: string): Promise<ZipFile> {
  try {
    return await openPromise(path, { lazyEntries: true, autoClose: false })
  } catch (cause) {
    const start = await firstBytes(path, 2)
    if (start.length === 0)
      throw new UserError(`${shown} is empty (0 bytes)`, { hint: 'pack or download it again', cause })
    if (start.toString('latin1') === 'PK') throw damaged(shown, cause)
    throw new UserError(`${shown} is not a zip archive`, { hint: 'pack the pairs as .zip', cause })
  }
}

async function listFiles(archive: ZipFile, shown: string): Promise<Entry[]> {
  const entries: Entry[] = []
  try {
    for await (const entry of archive.eachEntry()) if (!entry.fileName.endsWith('/')) entries.push(entry)
  } catch (cause) {
    if (/encryption/.test(String(cause))) throw encrypted(shown, cause)
    if (/invalid relative path|absolute path|invalid characters/.test(String(cause)))
      throw new UserError(`${shown} has a file whose path leads out of the archive`, {
        hint: 'pack it again from inside the folder of the pairs',
        cause,
      })
    throw damaged(shown, cause)
  }
  if (entries.length === 0) throw new UserError(`${shown} has no files in it`, { hint: 'pack the pairs into it' })
  if (entries.some((entry) => entry.isEncrypted())) throw encrypted(shown)
  return entries
}

function checkLimits(entries: Entry[], shown: string, limits: typeof zipLimits) {
  const tooLarge = (what: string, hint: string) => new UserError(`${shown} ${what}`, { hint })
  if (entries.length > limits.files)
    throw tooLarge(`has ${entries.length} files, more than ${limits.files}`, 'split it into several datasets')
  const bytes = entries.reduce((sum, entry) => sum + entry.uncompressedSize, 0)
  if (bytes > limits.totalBytes)
    throw tooLarge(
      `unpacks to ${inMib(bytes)}, more than ${inMib(limits.totalBytes)}`,
      'split it into several datasets',
    )
  const largest = entries.find((entry) => entry.uncompressedSize > limits.fileBytes)
  if (largest)
    throw tooLarge(
      `holds ${largest.fileName} of ${inMib(largest.uncompressedSize)}, more than ${inMib(limits.fileBytes)}`,
      'cut it into shorter files',
    )
}

/** yauzl stops when an entry yields more or fewer bytes than it promised. */
async function extract(archive: ZipFile, entry: Entry, file: string, shown: string) {
  try {
    await pipeline(await archive.openReadStreamPromise(entry), createWriteStream(file))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOSPC')
      throw new UserError(`there is no room to extract ${shown}`, { hint: 'free some space or set TMPDIR', cause })
    const method = String(cause).match(/unsupported compression method: (\d+)/)?.[1]
    if (method === undefined) throw damaged(shown, cause)
    throw new UserError(`${shown} is packed by method ${method}`, {
      hint: 'pack it as an ordinary zip: the methods are "store" and "deflate"',
      cause,
    })
  }
}

function find(entries: Entry[], name: string): Entry {
  const entry = entries.find(({ fileName }) => fileName === name)
  if (!entry) throw new Error(`the archive has no ${name}`)
  return entry
}

const encrypted = (shown: string, cause?: unknown) =>
  new UserError(`${shown} is encrypted`, { hint: 'pack it without a password', cause })

const damaged = (shown: string, cause: unknown) =>
  new UserError(`${shown} is damaged or cut off`, { hint: 'pack or download it again', cause })

const inMib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`

async function firstBytes(path: string, count: number): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
