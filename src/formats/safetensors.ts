/** Telling checkpoints apart without reading them whole. */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, read as readAsync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { UserError } from '../platform/errors.ts'
import { replaceFile } from '../platform/files.ts'
import { bytesPerElement, type Dtype, elementCount, toFloat32 } from './dtypes.ts'
import {
  broken,
  encodeHeader,
  type Header,
  headerLength,
  lengthBytes,
  type Metadata,
  parseHeader,
  type TensorInfo,
} from './safetensors-header.ts'

/**
 * A short name for weights: the hash of the name, type, shape and first kilobyte of every tensor that is a part. It is the same for a file that
 * carries other tensors too, and different for any fine-tune.
 */
export function fingerprint(file: Safetensors, isPart: (name: string) => boolean): string {
  const hash = createHash('sha256')
  for (const name of [...file.tensors.keys()].filter(isPart).sort()) {
    const { dtype, shape } = file.tensors.get(name) ?? {}
    hash.update(JSON.stringify([name, dtype, shape])).update(file.readStart(name, 1024))
  }
  return hash.digest('hex').slice(0, 16)
}

/**
 * Safetensors files: a header, then the tensors' bytes end to end. Reading is by byte range, one tensor at a time, so a file of any size costs
 * no more memory than its largest tensor.
 */

/** A tensor as it is stored: `bytes` little-endian and row-major. */
export type StoredTensor = { dtype: Dtype; shape: number[]; bytes: Uint8Array }

export type Safetensors = {
  readonly path: string
  readonly metadata: Metadata
  /** In the order of the header; `start` and `end` are positions in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** The stored tensor. Throws a plain Error for a name the file lacks: loaders ask `Weights`, which explains itself. */
  read(name: string): StoredTensor
  /** The same, in memory that the next loan takes again: for whoever copies it at once. Gigabytes of fresh memory cost as much as reading them. */
  lend(name: string): StoredTensor
  /** Has these tensors fetched from the disk while something else is done, so that they are at hand when they are read. */
  readAhead(names: readonly string[]): void
  /** Only these rows of a tensor's first axis, in the order given: `[rows.length, ...]`. */
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
    const loan = growingBuffer()
    const lend = (name: string): StoredTensor => {
      const { dtype, shape, start, end } = infoOf(name)
      return { dtype, shape, bytes: readRange(fd, start, end, loan(end - start)) }
    }
    const fetching = startFetching(fd)
    const readAhead = (names: readonly string[]) => {
      for (const name of names) fetching.fetch(infoOf(name))
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
    return { path, metadata, tensors, read, lend, readAhead, readRows, float32, readStart, close: fetching.close }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/**
 * Writes tensors in the order given, beside the target first and then renamed, so that no half file bears the name.
 * @param tensors the bytes of each are asked for once, when their turn comes: a getter can make them then.
 */
export function writeSafetensors(path: string, tensors: ReadonlyMap<string, StoredTensor>, metadata?: Metadata) {
  replaceFile(path, partsOf(tensors, metadata))
}

function* partsOf(tensors: ReadonlyMap<string, StoredTensor>, metadata?: Metadata) {
  yield encodeHeader(tensors, metadata)
  for (const [name, tensor] of tensors) {
    const { dtype, shape, bytes } = tensor
    if (bytes.length !== elementCount(shape) * bytesPerElement[dtype])
      throw new Error(`${name}: ${bytes.length} bytes do not fill ${dtype} [${shape}]`)
    yield bytes
  }
}

function openForReading(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw new UserError(`${path} cannot be opened`, { hint: 'check the path and the permissions', cause })
  }
}

function readHeader(fd: number, path: string): Header {
  const stat = fstatSync(fd)
  const file = { name: basename(path), size: stat.size }
  if (!stat.isFile()) throw broken(file, 'it is not a regular file')
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
 * Memory that only ever grows. It begins where no vector may: TensorFlow shares arrays that are aligned, and copies others.
 * @returns as many bytes of it as are asked for, whatever they held.
 */
function growingBuffer() {
  let buffer = new Uint8Array()
  return (length: number) => {
    if (buffer.length < length) buffer = new Uint8Array(new ArrayBuffer(length + 8), 8)
    return buffer.subarray(0, length)
  }
}

/** Reads that are thrown away: what they fetch stays in the system's own memory for a while. They go on while JavaScript is busy. */
function startFetching(fd: number) {
  const discard = growingBuffer()
  let underWay = 0
  let isClosed = false
  const closeWhenDone = () => {
    if (isClosed && underWay === 0) closeSync(fd)
  }
  return {
    fetch: ({ start, end }: TensorInfo) => {
      const length = Math.min(end - start, maxReadBytes)
      underWay++
      readAsync(fd, discard(length), 0, length, start, () => {
        underWay--
        closeWhenDone()
      })
    },
    close: () => {
      isClosed = true
      closeWhenDone()
    },
  }
}
