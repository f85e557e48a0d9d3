/**
 * Safetensors files: a header, then the bytes of the tensors end to end. Files are read by byte range, one tensor at a time, so a file of any size
 * needs no more memory than its largest tensor.
 */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, read as readAsync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { UserError } from '../platform/errors.ts'
import { replaceFile, replaceFileAsync } from '../platform/files.ts'
import { bytesPerElement, type Dtype, elementCount, toFloat32 } from './dtypes.ts'
import {
  encodeHeader,
  type Header,
  headerLength,
  invalidFile,
  lengthBytes,
  type Metadata,
  parseHeader,
  type TensorInfo,
} from './safetensors-header.ts'

/** A tensor as it is stored. `bytes` are little-endian and row-major. */
export type StoredTensor = { dtype: Dtype; shape: number[]; bytes: Uint8Array }

export type Safetensors = {
  readonly path: string
  readonly metadata: Metadata
  /** In the order of the header; `start` and `end` are positions in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** @throws Error for a name that is not in the file. Loaders use `Weights`, which throws a UserError. */
  read(name: string): StoredTensor
  /** As `read`, in memory that the next call overwrites, for callers that copy it at once. Allocating gigabytes takes as long as reading them. */
  readPooled(name: string): StoredTensor
  /** Starts reading tensors into the page cache of the system, so that later reads do not wait for the disk. */
  readAhead(names: readonly string[]): void
  /** Some rows of the first axis of a tensor, in the given order: `[rows.length, ...]`. */
  readRows(name: string, rows: readonly number[]): StoredTensor
  float32(name: string): Float32Array
  /** The first bytes of a tensor, at most `count`. */
  readStart(name: string, count: number): Uint8Array
  close(): void
}

/**
 * Opens a safetensors file and checks its header against its size.
 * @throws UserError when the file is missing, cut off, or not a safetensors file.
 */
export function openSafetensors(path: string): Safetensors {
  const fd = openForReading(path)
  try {
    const { metadata, tensors } = readHeader(fd, path)
    const infoOf = (name: string) => {
      const info = tensors.get(name)
      if (info) return info
      throw new Error(`${path} has no tensor ${name}`)
    }
    const read = (name: string): StoredTensor => {
      const info = infoOf(name)
      return { dtype: info.dtype, shape: info.shape, bytes: readRange(fd, info.start, info.end) }
    }
    const pool = growingBuffer()
    const readPooled = (name: string): StoredTensor => {
      const { dtype, shape, start, end } = infoOf(name)
      return { dtype, shape, bytes: readRange(fd, start, end, pool(end - start)) }
    }
    const prefetcher = createPrefetcher(fd)
    const readAhead = (names: readonly string[]) => {
      for (const name of names) prefetcher.prefetch(infoOf(name))
    }
    const readRows = (name: string, rows: readonly number[]): StoredTensor => {
      const { dtype, shape, start, end } = infoOf(name)
      const [count = 0, ...rest] = shape
      const rowBytes = (end - start) / count
      const bytes = new Uint8Array(rows.length * rowBytes)
      for (const [i, row] of rows.entries()) {
        if (!(row >= 0 && row < count)) throw new Error(`${name} has ${count} rows and none numbered ${row}`)
        bytes.set(readRange(fd, start + row * rowBytes, start + (row + 1) * rowBytes), i * rowBytes)
      }
      return { dtype, shape: [rows.length, ...rest], bytes }
    }
    const float32 = (name: string) => {
      const { bytes, dtype } = read(name)
      return toFloat32(bytes, dtype)
    }
    const readStart = (name: string, count: number) => {
      const { start, end } = infoOf(name)
      return readRange(fd, start, Math.min(end, start + count))
    }
    return {
      path,
      metadata,
      tensors,
      read,
      readPooled,
      readAhead,
      readRows,
      float32,
      readStart,
      close: prefetcher.close,
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/**
 * Writes tensors atomically, in the given order.
 * @param tensors `bytes` of each is read once, when it is written, so that a getter can create it only then.
 */
export function writeSafetensors(path: string, tensors: ReadonlyMap<string, StoredTensor>, metadata?: Metadata) {
  replaceFile(path, encodeSafetensors(tensors, metadata))
}

/** The parts of a file, each created when it is asked for. @param tensors as for `writeSafetensors`. */
export function* encodeSafetensors(tensors: ReadonlyMap<string, StoredTensor>, metadata?: Metadata) {
  yield encodeHeader(tensors, metadata)
  for (const [name, tensor] of tensors) yield completeBytes(name, tensor, tensor.bytes)
}

/** A tensor whose bytes, little-endian and row-major, are read from the device that has it when they are written. */
export type ReadableTensor = { dtype: Dtype; shape: number[]; read(): Promise<Uint8Array> }

/** Writes tensors atomically, in the given order. Each is read once, after the one before it was written. */
export const writeReadableTensors = (
  path: string,
  tensors: ReadonlyMap<string, ReadableTensor>,
  metadata?: Metadata,
): Promise<void> => replaceFileAsync(path, encodeReadableTensors(tensors, metadata))

async function* encodeReadableTensors(tensors: ReadonlyMap<string, ReadableTensor>, metadata?: Metadata) {
  yield encodeHeader(tensors, metadata)
  for (const [name, tensor] of tensors) yield completeBytes(name, tensor, await tensor.read())
}

/** @throws Error when they are not as many as the shape needs. */
function completeBytes(name: string, { dtype, shape }: Pick<StoredTensor, 'dtype' | 'shape'>, bytes: Uint8Array) {
  if (bytes.length !== elementCount(shape) * bytesPerElement[dtype])
    throw new Error(`${name}: ${bytes.length} bytes do not fill ${dtype} [${shape}]`)
  return bytes
}

/**
 * Identifies weights: the hash of the name, type, shape and first kilobyte of every tensor that `isPart` selects. Other tensors in the file do not change
 * it; a fine-tune does.
 */
export function fingerprint(file: Safetensors, isPart: (name: string) => boolean): string {
  const hash = createHash('sha256')
  for (const name of [...file.tensors.keys()].filter(isPart).sort()) {
    const { dtype, shape } = file.tensors.get(name) ?? {}
    hash.update(JSON.stringify([name, dtype, shape])).update(file.readStart(name, 1024))
  }
  return hash.digest('hex').slice(0, 16)
}

function openForReading(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    const isGone = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new UserError(`${path} cannot be opened`, {
      hint: 'check the path and the permissions',
      cause,
      ...(isGone && { code: 'file_download_error' }),
    })
  }
}

function readHeader(fd: number, path: string): Header {
  const stat = fstatSync(fd)
  const file = { name: basename(path), size: stat.size }
  if (!stat.isFile()) throw invalidFile(file, 'it is not a regular file')
  const length = headerLength(readRange(fd, 0, Math.min(lengthBytes, stat.size)), file)
  return parseHeader(readRange(fd, lengthBytes, lengthBytes + length), file)
}

/** Node reads at most 2 GiB − 1 bytes in one call. */
const maxReadBytes = 2 ** 30

function readRange(fd: number, start: number, end: number, bytes = new Uint8Array(end - start)): Uint8Array {
  for (let done = 0; done < bytes.length; ) {
    const read = readSync(fd, bytes, done, Math.min(bytes.length - done, maxReadBytes), start + done)
    if (read === 0) throw new Error('the file ended while it was read')
    done += read
  }
  return bytes
}

/**
 * A buffer that is allocated again only to grow. It is not aligned, so that TensorFlow copies from it: it shares the memory of aligned arrays.
 * @returns a function that gives its first `length` bytes, with whatever they contain.
 */
function growingBuffer() {
  let buffer = new Uint8Array()
  return (length: number) => {
    if (buffer.length < length) buffer = new Uint8Array(new ArrayBuffer(length + 8), 8)
    return buffer.subarray(0, length)
  }
}

/** Reads in the background and discards the bytes, which stay in the page cache of the system. */
function createPrefetcher(fd: number) {
  const discarded = growingBuffer()
  let running = 0
  let isClosed = false
  const closeWhenIdle = () => {
    if (isClosed && running === 0) closeSync(fd)
  }
  return {
    prefetch: ({ start, end }: TensorInfo) => {
      const length = Math.min(end - start, maxReadBytes)
      running++
      readAsync(fd, discarded(length), 0, length, start, () => {
        running--
        closeWhenIdle()
      })
    },
    close: () => {
      if (isClosed) return
      isClosed = true
      closeWhenIdle()
    },
  }
}
