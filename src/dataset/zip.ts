/** Zip archives: listed when opened, extracted one file at a time, never under a name from the archive. */
import { createWriteStream } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { extname } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl'
import { defaultLimits, type Limits, raiseLimitHint } from '../config/limits.ts'
import { crc32 } from '../formats/crc.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'
import { sum } from '../platform/statistics.ts'
import { makeTempFolder } from '../platform/temp-folder.ts'
import { countText, listText } from '../platform/text.ts'
import type { Problem } from './problem.ts'
import { isLegacy, pathTexts, type RawPath, rawPath } from './zip-names.ts'

/** The files of a zip or a folder. */
export type FileTree = {
  /** All files, sorted, with parts separated by `/`. A zip may contain a path twice. */
  readonly paths: readonly string[]
  /** What was wrong with the list of files. */
  readonly problems: readonly Problem[]
  /** Calls `use` with the path of a local file that has the same extension. An extracted file is removed afterwards. */
  withFile<Result>(path: string, use: (file: string) => Promise<Result>): Promise<Result>
  /** Closes the archive and removes everything temporary. */
  close(): Promise<void>
}

/** In bytes, except `files` and `ratio` (unpacked to packed). `listBytes` are those of the names and other metadata. */
export type ZipLimits = { files: number; fileBytes: number; totalBytes: number; ratio: number; listBytes: number }

const mebibyte = 2 ** 20

/** The ratio is checked only above this unpacked size, because a small archive of silence is harmless. */
const minBombBytes = 2 ** 30

export const zipLimits = (limits: Limits = defaultLimits): ZipLimits => ({
  files: limits['zip-files'],
  fileBytes: limits['zip-file-mib'] * mebibyte,
  totalBytes: limits['zip-total-mib'] * mebibyte,
  ratio: limits['zip-ratio'],
  listBytes: limits['zip-list-mib'] * mebibyte,
})

/**
 * @param shown what the archive is called in messages.
 * @param signal stops the extraction of its files, which then throws Interrupted.
 * @throws UserError when it is not a zip, empty, encrypted, damaged, over the limits, or contains links, devices or unsafe names.
 */
export async function openZip(
  path: string,
  shown: string,
  limits = zipLimits(),
  signal?: AbortSignal,
): Promise<FileTree> {
  const { archive, size } = await openArchive(path, shown)
  try {
    const { files, problems } = await listFiles(archive, shown, limits)
    checkSizes(files, size, shown, limits)
    const entries = new Map([...files].reverse().map(({ path, entry }) => [path, entry]))
    const folder = await makeTempFolder()
    return {
      paths: files.map(({ path }) => path).sort(),
      problems,
      withFile: async (name, use) => {
        const file = folder.newFile(extname(name).toLowerCase())
        try {
          await extract(archive, entryAt(entries, name), file, { shown: `${name} in ${shown}`, signal })
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

async function openArchive(path: string, shown: string): Promise<{ archive: ZipFile; size: number }> {
  const file = await open(path)
  const { size } = await file.stat()
  try {
    const reader = new ArchiveReader(file, size)
    const archive = await fromRandomAccessReaderPromise(reader, size, { autoClose: false, decodeStrings: false })
    archive.on('error', () => undefined) // errors that matter also reject the call that caused them
    return { archive, size }
  } catch (cause) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0)
    await file.close()
    if (bytesRead === 0)
      throw new UserError(`${shown} is empty (0 bytes)`, { hint: 'pack or download it again', cause })
    if (buffer.toString('latin1') === 'PK') throw damaged(shown, cause)
    throw new UserError(`${shown} is not a zip archive`, { hint: 'pack the pairs as .zip', cause })
  }
}

/** `path` is the name as text, for messages and as a key: no file is ever created under it. */
type ListedFile = { path: string; entry: Entry }

/** Stops at the first entry that is refused, however many follow. */
async function listFiles(
  archive: ZipFile,
  shown: string,
  limits: ZipLimits,
): Promise<{ files: ListedFile[]; problems: Problem[] }> {
  const found: { path: RawPath; entry: Entry }[] = []
  let [count, listBytes] = [0, 0]
  try {
    for await (const entry of archive.eachEntry()) {
      listBytes += entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength
      checkList(++count, listBytes, shown, limits, archive)
      const path = rawPath(entry)
      if (path.at(-1) === macFolderIcon) continue
      checkEntry(entry, path, shown)
      const parts = path.filter((part) => part !== '' && part !== '.')
      if (path.at(-1) !== '' && parts.length > 0) found.push({ path: parts, entry })
    }
  } catch (cause) {
    if (cause instanceof UserError) throw cause
    if (/encryption/.test(String(cause))) throw encrypted(shown, cause)
    throw damaged(shown, cause)
  }
  if (found.length === 0) throw new UserError(`${shown} has no files in it`, { hint: 'pack the pairs into it' })
  const texts = pathTexts(found.map(({ path }) => path))
  const files = found.map(({ entry }, i) => ({ path: texts[i] as string, entry }))
  return { files, problems: legacyNames(texts.filter((_, i) => isLegacy((found[i] as (typeof found)[0]).path))) }
}

/** macOS writes this file into folders that have an icon of their own. */
const macFolderIcon = 'Icon\r'

function legacyNames(paths: readonly string[]): Problem[] {
  if (paths.length === 0) return []
  return [
    {
      severity: 'warning',
      message: `${countText(paths.length, 'file name')} ${paths.length === 1 ? 'is' : 'are'} not in UTF-8 and may be unreadable: ${listText(paths, 4)}`,
      hint: 'they work as they are; to read them, pack the files again with a program that writes names in UTF-8',
    },
  ]
}

function checkList(files: number, listBytes: number, shown: string, limits: ZipLimits, archive: ZipFile) {
  if (files > limits.files)
    throw new UserError(`${shown} has more than ${limits.files} files`, {
      hint: `split it into several datasets, or ${raiseLimitHint('zip-files', Math.max(2 * limits.files, archive.entryCount))}`,
    })
  if (listBytes > limits.listBytes)
    throw new UserError(`the file names in ${shown} take more than ${inMib(limits.listBytes)}`, {
      hint: `pack it again, or ${raiseLimitHint('zip-list-mib', archive.fileSize / mebibyte)}`,
    })
}

function checkEntry(entry: Entry, path: RawPath, shown: string) {
  const text = pathTexts([path]).join('')
  const name = text.length > 100 ? `${text.slice(0, 100)}…` : text
  if (entry.isEncrypted()) throw encrypted(shown)
  if (path.some(hasControlCharacters))
    throw new UserError(`${shown} has a file with control characters in its name: ${JSON.stringify(name)}`, {
      hint: 'rename it and pack it again',
    })
  if (leadsOut(path))
    throw new UserError(`${shown} has a file whose path leads out of the archive`, {
      hint: 'pack it again from inside the folder of the pairs',
    })
  if (!isRegularFile(entry))
    throw new UserError(`${name} in ${shown} is a link or a device, not a file`, {
      hint: 'pack the file itself, without the option that keeps links',
    })
}

const hasControlCharacters = (part: string | Buffer) =>
  typeof part === 'string' ? /\p{Cc}/u.test(part) : part.some((byte) => byte < 0x20 || byte === 0x7f)

/** An absolute path, one that begins with a Windows drive, or one with `..` in it. A colon elsewhere is part of a name. */
const leadsOut = (path: RawPath) =>
  path.includes('..') || (path.length > 1 && (path[0] === '' || /^[a-z]:$/i.test(String(path[0]))))

/** Also true for folders. Archives made on Unix hold the file type in the upper half of the attributes. */
function isRegularFile({ versionMadeBy, externalFileAttributes }: Entry): boolean {
  const isUnix = [3, 19].includes(versionMadeBy >>> 8)
  const kind = (externalFileAttributes >>> 16) & 0o170000
  return !isUnix || kind === 0 || kind === 0o100000 || kind === 0o040000
}

/** Checks the sizes that the list declares; extraction refuses files that are larger. */
function checkSizes(files: ListedFile[], size: number, shown: string, limits: ZipLimits) {
  const bytes = sum(files.map(({ entry }) => entry.uncompressedSize))
  if (bytes > limits.totalBytes)
    throw new UserError(`${shown} unpacks to ${inMib(bytes)}, more than ${inMib(limits.totalBytes)}`, {
      hint: `split it into several datasets, or ${raiseLimitHint('zip-total-mib', bytes / mebibyte)}`,
    })
  const sizeOf = ({ entry }: ListedFile) => entry.uncompressedSize
  const largest = files.reduce((most, file) => (sizeOf(file) > sizeOf(most) ? file : most))
  const uncompressedSize = sizeOf(largest)
  if (uncompressedSize > limits.fileBytes)
    throw new UserError(
      `${shown} holds ${largest.path} of ${inMib(uncompressedSize)}, more than ${inMib(limits.fileBytes)}`,
      { hint: `cut it into shorter files, or ${raiseLimitHint('zip-file-mib', uncompressedSize / mebibyte)}` },
    )
  if (bytes > minBombBytes && bytes > size * limits.ratio)
    throw new UserError(`${shown} unpacks to ${Math.round(bytes / size)} times its size, more than ${limits.ratio}`, {
      hint: `audio does not compress that well; if it is intended, ${raiseLimitHint('zip-ratio', bytes / size)}`,
    })
}

/** yauzl fails when an entry has more or fewer bytes than declared. */
async function extract(
  archive: ZipFile,
  entry: Entry,
  file: string,
  { shown, signal }: { shown: string; signal: AbortSignal | undefined },
) {
  try {
    const stream = await archive.openReadStreamPromise(entry)
    await pipeline(stream, verifyChecksum(entry), createWriteStream(file), { signal })
  } catch (cause) {
    if (signal?.aborted) throw new Interrupted('stopped')
    if (isDiskFull(cause))
      throw new UserError(`there is no room to extract ${shown}`, {
        hint: 'free some space or set TMPDIR',
        cause,
        code: 'machine_error',
      })
    const method = String(cause).match(/unsupported compression method: (\d+)/)?.[1]
    if (method === undefined) throw damaged(shown, cause)
    throw new UserError(`${shown} is packed by method ${method}`, {
      hint: 'pack it as an ordinary zip: the methods are "store" and "deflate"',
      cause,
      code: 'invalid_archive',
    })
  }
}

const verifyChecksum = (entry: Entry) =>
  async function* (chunks: AsyncIterable<Buffer>) {
    let sum = 0
    for await (const chunk of chunks) {
      sum = crc32(chunk, sum)
      yield chunk
    }
    if (sum !== entry.crc32) throw new Error('its checksum is wrong')
  }

function entryAt(entries: ReadonlyMap<string, Entry>, path: string): Entry {
  const entry = entries.get(path)
  if (!entry) throw new Error(`the archive has no ${path}`)
  return entry
}

const encrypted = (shown: string, cause?: unknown) =>
  new UserError(`${shown} is encrypted`, { hint: 'pack it without a password', cause, code: 'invalid_archive' })

const damaged = (shown: string, cause: unknown) =>
  new UserError(`${shown} is damaged or cut off`, { hint: 'pack or download it again', cause, code: 'invalid_archive' })

const inMib = (bytes: number) => `${Math.ceil(bytes / mebibyte)} MiB`

/**
 * Reads an archive for yauzl, at offsets that come from the archive. An offset outside the file is an error here, but a crash in yauzl's own reader. It
 * closes the file when yauzl is done.
 */
class ArchiveReader extends RandomAccessReader {
  constructor(
    readonly file: FileHandle,
    readonly size: number,
  ) {
    super()
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ) {
    this.readAll(buffer, offset, length, position).then(
      () => setImmediate(callback, null), // not from within the promise, which would swallow what the callback throws
      (error) => setImmediate(callback, error),
    )
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.pieces(start, end), { objectMode: false })
  }

  override close(callback: (error: Error | null) => void) {
    this.file.close().then(() => callback(null), callback)
  }

  private async readAll(buffer: Buffer, offset: number, length: number, position: number) {
    if (!(position >= 0 && position + length <= this.size))
      throw new Error(`the archive refers to byte ${position + length}, but has ${this.size}`)
    for (let done = 0; done < length; ) {
      const { bytesRead } = await this.file.read(buffer, offset + done, length - done, position + done)
      if (bytesRead === 0) throw new Error('the file ended while it was read')
      done += bytesRead
    }
  }

  private async *pieces(start: number, end: number) {
    for (let at = start; at < end; at += pieceBytes) {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, end - at))
      await this.readAll(piece, 0, piece.length, at)
      yield piece
    }
  }
}

const pieceBytes = 2 ** 16
