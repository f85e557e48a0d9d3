/**
 * Safetensors files: a little-endian u64 with the length of a JSON header, the header, then the tensors' bytes end to end.
 * Reading is by byte range, one tensor at a time, so a file of any size costs no more memory than its largest tensor.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { UserError } from '../errors.ts'
import { replaceFile } from '../files.ts'
import { bytesPerElement, type Dtype, elementCount, isDtype, toFloat32 } from './dtypes.ts'

export type TensorInfo = { dtype: Dtype; shape: number[]; start: number; end: number }

/** A tensor as it is stored: `bytes` little-endian and row-major. */
export type StoredTensor = { dtype: Dtype; shape: number[]; bytes: Uint8Array }

export type Metadata = Record<string, string>

export type Safetensors = {
  readonly path: string
  readonly metadata: Metadata
  /** In the order of the header; `start` and `end` are positions in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** The stored tensor. Throws a plain Error for a name the file lacks: loaders ask `Weights`, which explains itself. */
  read(name: string): StoredTensor
  /** Only these rows of a tensor's first axis, in the order given: `[rows.length, ...]`. */
  readRows(name: string, rows: readonly number[]): StoredTensor
  float32(name: string): Float32Array
  /** The first bytes of a tensor, at most `count`. */
  readStart(name: string, count: number): Uint8Array
  close(): void
}

/** The reference implementation's own limit on headers. */
const maxHeaderBytes = 100_000_000

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
    return { path, metadata, tensors, read, readRows, float32, readStart, close: () => closeSync(fd) }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** Writes tensors in the order given, beside the target first and then renamed, so that no half file bears the name. */
export function writeSafetensors(path: string, tensors: ReadonlyMap<string, StoredTensor>, metadata?: Metadata) {
  let offset = 0
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {}
  for (const [name, { dtype, shape, bytes }] of tensors) {
    if (bytes.length !== elementCount(shape) * bytesPerElement[dtype])
      throw new Error(`${name}: ${bytes.length} bytes do not fill ${dtype} [${shape}]`)
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] }
    offset += bytes.length
  }
  const json = Buffer.from(JSON.stringify(header))
  const padded = Buffer.concat([json, Buffer.alloc(-json.length & 7, ' ')]) // tensors start at a multiple of 8
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  replaceFile(path, [length, padded, ...[...tensors.values()].map(({ bytes }) => bytes)])
}

function openForReading(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw new UserError(`${path} cannot be opened`, { hint: 'check the path and the permissions', cause })
  }
}

function readHeader(fd: number, path: string) {
  const broken = (why: string, cause?: unknown) =>
    new UserError(`${basename(path)} is not a usable safetensors file: ${why}`, {
      hint: 'download or copy the file again',
      cause,
    })
  const stat = fstatSync(fd)
  if (!stat.isFile()) throw broken('it is not a regular file')
  if (stat.size < 8) throw broken(`it has ${stat.size} bytes, too few for a header`)
  const length = Number(Buffer.from(readRange(fd, 0, 8)).readBigUInt64LE())
  if (length > maxHeaderBytes) throw broken(`its header claims ${length} bytes`)
  if (8 + length > stat.size) throw broken(`its header claims ${length} bytes but the file has ${stat.size}`)
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(readRange(fd, 8, 8 + length)))
  } catch (cause) {
    throw broken('its header is not JSON', cause)
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw broken('its header is not an object')
  const { __metadata__: metadata = {}, ...entries } = header as Record<string, unknown>
  if (!isStringMap(metadata)) throw broken('its metadata is not a map of strings')
  const tensors = new Map<string, TensorInfo>()
  for (const [name, entry] of Object.entries(entries)) {
    const info = tensorInfo(entry, 8 + length)
    if (typeof info === 'string') throw broken(`tensor ${name} ${info}`)
    if (info.end > stat.size) throw broken(`tensor ${name} ends at byte ${info.end} but the file has ${stat.size}`)
    tensors.set(name, info)
  }
  return { metadata, tensors }
}

/** One entry of the header, or what is wrong with it. */
function tensorInfo(entry: unknown, base: number): TensorInfo | string {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>
  if (!isDtype(dtype)) return `has the unknown type ${JSON.stringify(dtype)}`
  if (!isSizes(shape)) return `has the shape ${JSON.stringify(shape)}`
  if (!isSizes(offsets) || offsets.length !== 2) return `has the offsets ${JSON.stringify(offsets)}`
  const [start, end] = offsets as [number, number]
  if (end - start !== elementCount(shape) * bytesPerElement[dtype])
    return `has ${end - start} bytes, which do not fill ${dtype} [${shape.join(', ')}]`
  return { dtype, shape, start: base + start, end: base + end }
}

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)

const isStringMap = (value: unknown): value is Metadata =>
  typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string')

/** Node reads at most 2 GiB − 1 bytes in one call. */
const maxReadBytes = 2 ** 30

function readRange(fd: number, start: number, end: number): Uint8Array {
  const bytes = new Uint8Array(end - start)
  for (let done = 0; done < bytes.length; ) {
    const read = readSync(fd, bytes, done, Math.min(bytes.length - done, maxReadBytes), start + done)
    if (read === 0) throw new Error('the file ended while it was read')
    done += read
  }
  return bytes
}
