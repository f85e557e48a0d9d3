/**
 * The header of a safetensors file: a little-endian u64 with the length of the JSON that follows, then the JSON. It has the position of every tensor, so
 * that any tensor can be read alone.
 */
import { UserError } from '../platform/errors.ts'
import { parseJson } from '../platform/json.ts'
import { bytesPerElement, type Dtype, elementCount, isDtype } from './dtypes.ts'

export type Metadata = Record<string, string>

/** `start` and `end` are positions in the file. */
export type TensorInfo = { dtype: Dtype; shape: number[]; start: number; end: number }

export type Header = {
  metadata: Metadata
  /** In the order of the JSON. */
  tensors: Map<string, TensorInfo>
}

/** What a header is checked against. The name is for messages. */
export type FileInfo = { name: string; size: number }

/** The size of the length field. */
export const lengthBytes = 8

/** The limit of the reference implementation. */
const maxHeaderBytes = 100_000_000

/**
 * The length of the JSON.
 * @param start the first eight bytes, or as many as the file has.
 * @throws UserError when the file is too small for it.
 */
export function headerLength(start: Uint8Array, file: FileInfo): number {
  if (start.length < lengthBytes) throw invalidFile(file, `it has ${file.size} bytes, too few for a header`)
  const length = Number(Buffer.from(start.buffer, start.byteOffset, lengthBytes).readBigUInt64LE())
  if (length > maxHeaderBytes) throw invalidFile(file, `its header claims ${length} bytes`)
  if (lengthBytes + length > file.size)
    throw invalidFile(file, `its header claims ${length} bytes but the file has ${file.size}`)
  return length
}

/**
 * Parses the JSON and checks it against the size of the file.
 * @throws UserError for invalid JSON, and for the first invalid tensor.
 */
export function parseHeader(json: Uint8Array, file: FileInfo): Header {
  const { __metadata__: metadata = {}, ...entries } = parseObject(json, file)
  if (!isStringMap(metadata)) throw invalidFile(file, 'its metadata is not a map of strings')
  const tensors = new Map<string, TensorInfo>()
  for (const [name, entry] of Object.entries(entries)) {
    requireWholeBytes(name, entry, file)
    const info = tensorInfo(entry, lengthBytes + json.length)
    if (typeof info === 'string') throw invalidFile(file, `tensor ${name} ${info}`)
    if (info.end > file.size)
      throw invalidFile(file, `tensor ${name} ends at byte ${info.end} but the file has ${file.size}`)
    tensors.set(name, info)
  }
  requireGapless(tensors, lengthBytes + json.length, file)
  return { metadata, tensors }
}

export type HeaderEntry = { dtype: Dtype; shape: readonly number[] }

/** The header of a file with these tensors end to end, padded so that they start at a multiple of eight. */
export function encodeHeader(entries: ReadonlyMap<string, HeaderEntry>, metadata?: Metadata): Uint8Array {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {}
  let offset = 0
  for (const [name, { dtype, shape }] of entries) {
    const end = offset + elementCount(shape) * bytesPerElement[dtype]
    header[name] = { dtype, shape, data_offsets: [offset, end] }
    offset = end
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(lengthBytes)
  length.writeBigUInt64LE(BigInt(json.length + (-json.length & 7)))
  return Buffer.concat([length, json, Buffer.alloc(-json.length & 7, ' ')])
}

/** The error for a file that is damaged or of another format. */
export const invalidFile = ({ name }: FileInfo, why: string, cause?: unknown) =>
  new UserError(`${name} is not a usable safetensors file: ${why}`, { hint: 'download or copy the file again', cause })

function parseObject(json: Uint8Array, file: FileInfo): Record<string, unknown> {
  const invalid = (cause: unknown) => invalidFile(file, 'its header is not JSON', cause)
  const repeated = (key: string) => invalidFile(file, `its header names ${key} twice`)
  const header = parseJson(decodeHeader(json, invalid), { invalid, repeated })
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw invalidFile(file, 'its header is not an object')
  return header as Record<string, unknown>
}

function decodeHeader(json: Uint8Array, invalid: (cause: unknown) => Error): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(json)
  } catch (cause) {
    throw invalid(cause)
  }
}

/** @throws UserError for the types of nvfp4 and other files whose weights are quantized to fewer than eight bits. */
function requireWholeBytes(name: string, entry: unknown, file: FileInfo) {
  const { dtype } = (entry ?? {}) as { dtype?: unknown }
  if (typeof dtype !== 'string' || !/^(F4|F6_E2M3|F6_E3M2|F8_E8M0)$/.test(dtype)) return
  throw quantizedWeights(file.name, { name, dtype }, 'use the bfloat16 file of the model')
}

/** The error for a weight that is quantized in a way that cannot be undone. @param file its name. */
export const quantizedWeights = (file: string, { name, dtype }: { name: string; dtype: string }, hint: string) =>
  new UserError(`${file} holds quantized weights, which cannot be read: ${name} is stored as ${dtype}`, { hint })

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

/** The format requires that every byte after the header belongs to exactly one tensor. */
function requireGapless(tensors: ReadonlyMap<string, TensorInfo>, from: number, file: FileInfo) {
  let before = { name: 'the header', end: from }
  const gapError = (start: number, end: number) => invalidFile(file, `bytes ${start} to ${end} belong to no tensor`)
  for (const [name, { start, end }] of [...tensors].sort(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (start < before.end) throw invalidFile(file, `tensors ${before.name} and ${name} overlap`)
    if (start > before.end) throw gapError(before.end, start)
    before = { name, end }
  }
  if (before.end < file.size) throw gapError(before.end, file.size)
}

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)

const isStringMap = (value: unknown): value is Metadata =>
  typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string')
