/** The contents of wheels: what is unpacked of them, and the file METADATA of one that is still on a server. */
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Entry, fromRandomAccessReaderPromise, openPromise, RandomAccessReader, type ZipFile } from 'yauzl'
import { freeBytesAt } from '../machine/hardware.ts'
import { type ByteSource, readAll } from '../net/byte-source.ts'
import { UserError } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'
import { sum } from '../platform/statistics.ts'
import { sizeText } from '../platform/text.ts'

/** Which files of a wheel are unpacked, and what is missing if it has none of them. */
export type WheelContents = { files: RegExp; name: string; hint: string }

/**
 * The libraries, the headers that the C interface includes, and the file that says what the build is for. Eigen and others would be a hundred times as
 * many headers.
 */
export const tensorflowContents: WheelContents = {
  files:
    /^tensorflow\/(libtensorflow[^/]*|include\/(tensorflow|tsl|xla)\/.*\.(h|inc)|python\/platform\/build_info\.py)$/,
  name: 'TensorFlow libraries',
  hint: 'give the wheel of tensorflow or tensorflow-cpu for Linux or macOS',
}

/** The libraries, which TensorFlow looks for in `nvidia` beside itself, and what its compiler of kernels needs. */
export const nvidiaContents: WheelContents = {
  files: /^nvidia\/[^/]+\/(lib\/[^/]+\.so[^/]*|bin\/ptxas|nvvm\/libdevice\/[^/]+)$/,
  name: 'libraries of NVIDIA',
  hint: 'report this',
}

/**
 * Unpacks a wheel, without the files that are not needed.
 * @throws UserError when the file is not a wheel or has none of the files, or there is no room, of which nothing is used then; the reason of the signal
 *   when it is aborted.
 */
export async function unpackWheel(
  wheel: string,
  folder: string,
  { files, name, hint }: WheelContents = tensorflowContents,
  signal?: AbortSignal,
  freeBytes: (path: string) => number = freeBytesAt,
): Promise<void> {
  const archive = await openArchive(wheel)
  try {
    const entries: Entry[] = []
    for await (const entry of archive.eachEntry()) if (files.test(entry.fileName)) entries.push(entry)
    if (entries.length === 0) throw new UserError(`${basename(wheel)} holds no ${name}`, { hint })
    requireRoom(wheel, sum(entries.map(({ uncompressedSize }) => uncompressedSize)), folder, freeBytes(folder))
    for (const entry of entries) {
      const path = join(folder, entry.fileName) // yauzl refuses paths that lead out of the folder
      await mkdir(dirname(path), { recursive: true })
      const mode = (entry.externalFileAttributes >>> 16) & 0o111 ? 0o755 : 0o644
      // yauzl stops a file that is larger than the list of files says
      await pipeline(await archive.openReadStreamPromise(entry), createWriteStream(path, { mode }), { signal })
    }
  } catch (cause) {
    signal?.throwIfAborted()
    if (cause instanceof UserError) throw cause
    throw new UserError(`${wheel} could not be unpacked to ${folder}`, {
      hint: isDiskFull(cause) ? 'the disk is full: free some space' : 'download it again, and check the free space',
      cause,
    })
  } finally {
    archive.close()
  }
}

function requireRoom(wheel: string, needed: number, folder: string, available: number) {
  if (needed <= available) return
  throw new UserError(
    `${basename(wheel)} unpacks to ${sizeText(needed)}, but the disk of ${folder} has ${sizeText(available)} free`,
    { hint: `free ${sizeText(needed - available)}, or set LTX_A2A_DATA to a folder on another disk` },
  )
}

/** @throws UserError when the file is not a wheel. */
export const metadataOfFile = async (wheel: string): Promise<string> => metadataOf(await openArchive(wheel))

const openArchive = (wheel: string): Promise<ZipFile> =>
  openPromise(wheel, { lazyEntries: true, autoClose: false }).catch((cause) => {
    throw new UserError(`${wheel} is not a wheel`, { hint: 'download it again', cause })
  })

/** The end of a wheel, which has the list of its files, and before it usually METADATA: 3 MB for TensorFlow. */
const tailBytes = 4 * 2 ** 20

/** Reads METADATA with few requests. @throws UserError when the source cannot be read. */
export async function metadataOfSource(source: ByteSource, signal: AbortSignal): Promise<string> {
  const tailStart = Math.max(0, source.size - tailBytes)
  const tail = Buffer.from(await readAll(source, tailStart, source.size, signal))
  const read = (start: number, end: number) =>
    start >= tailStart ? [tail.subarray(start - tailStart, end - tailStart)] : source.read(start, end, signal)
  class Reader extends RandomAccessReader {
    override _readStreamForRange(start: number, end: number) {
      return Readable.from(read(start, end))
    }
  }
  return metadataOf(await fromRandomAccessReaderPromise(new Reader(), source.size, { lazyEntries: true }))
}

/** That of TensorFlow has 5 kB. */
const maxMetadataBytes = 16 * 2 ** 20

const otherWheel = 'give --from another wheel'

async function metadataOf(archive: ZipFile): Promise<string> {
  try {
    for await (const entry of archive.eachEntry()) {
      if (!/^[^/]+\.dist-info\/METADATA$/.test(entry.fileName)) continue
      if (entry.uncompressedSize > maxMetadataBytes)
        throw new UserError(`the METADATA of the wheel has ${sizeText(entry.uncompressedSize)}`, { hint: otherWheel })
      const chunks: Buffer[] = []
      for await (const chunk of await archive.openReadStreamPromise(entry)) chunks.push(chunk)
      return Buffer.concat(chunks).toString('utf8')
    }
  } finally {
    archive.close()
  }
  throw new UserError('the wheel has no METADATA', { hint: otherWheel })
}
