/** The contents of wheels: what is unpacked of them, and the file METADATA of one that is still on a server. */
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fromRandomAccessReaderPromise, openPromise, RandomAccessReader, type ZipFile } from 'yauzl'
import { type ByteSource, readAll } from '../net/byte-source.ts'
import { UserError } from '../platform/errors.ts'
import { isDiskFull } from '../platform/files.ts'

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
 * @throws UserError when the file is not a wheel or has none of the files, or there is no room; the reason of the signal when it is aborted.
 */
export async function unpackWheel(
  wheel: string,
  folder: string,
  { files, name, hint }: WheelContents = tensorflowContents,
  signal?: AbortSignal,
): Promise<void> {
  const archive = await openArchive(wheel)
  try {
    let count = 0
    for await (const entry of archive.eachEntry()) {
      if (!files.test(entry.fileName)) continue
      const path = join(folder, entry.fileName) // yauzl refuses paths that lead out of the folder
      await mkdir(dirname(path), { recursive: true })
      const mode = (entry.externalFileAttributes >>> 16) & 0o111 ? 0o755 : 0o644
      await pipeline(await archive.openReadStreamPromise(entry), createWriteStream(path, { mode }), { signal })
      count++
    }
    if (count === 0) throw new UserError(`${basename(wheel)} holds no ${name}`, { hint })
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

async function metadataOf(archive: ZipFile): Promise<string> {
  try {
    for await (const entry of archive.eachEntry()) {
      if (!/^[^/]+\.dist-info\/METADATA$/.test(entry.fileName)) continue
      const chunks: Buffer[] = []
      for await (const chunk of await archive.openReadStreamPromise(entry)) chunks.push(chunk)
      return Buffer.concat(chunks).toString('utf8')
    }
  } finally {
    archive.close()
  }
  throw new UserError('the wheel has no METADATA', { hint: 'give --from another wheel' })
}
