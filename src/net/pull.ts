/** Pulling some tensors out of a safetensors file: first a plan, then the byte ranges that hold them, several at once. */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { encodeHeader, type Header, headerLength, lengthBytes, parseHeader } from '../formats/safetensors-header.ts'
import { freeBytesAt } from '../machine/hardware.ts'
import { UserError } from '../platform/errors.ts'
import { sum } from '../platform/statistics.ts'
import { sizeText } from '../platform/text.ts'
import { type ByteSource, readAll } from './byte-source.ts'
import { hashOf, openPartial, type PartialFile, partsOf } from './partial-file.ts'
import { planRanges, type Range } from './ranges.ts'

/** What a pull will fetch and write, known from the header of the source alone. */
export type Plan = {
  source: ByteSource
  /** The file to write. */
  path: string
  /** The first bytes of the result. */
  head: Uint8Array
  ranges: Range[]
  tensors: number
  /** The size of the result. */
  size: number
}

/** The hash is that of its JSON. */
export type SourceHeader = Header & { hash: string }

/** @throws UserError when the source is not a safetensors file, or cannot be read. */
export async function readHeader(source: ByteSource, signal: AbortSignal): Promise<SourceHeader> {
  const start = await readAll(source, 0, Math.min(lengthBytes, source.size), signal)
  const json = await readAll(source, lengthBytes, lengthBytes + headerLength(start, source), signal)
  return { ...parseHeader(json, source), hash: hashOf(json) }
}

/**
 * The result holds the metadata of the source and the provenance of its tensors. The same source gives the same bytes, whether it is local or on a
 * server.
 * @param path the file to write.
 * @param isWanted whether a tensor is pulled.
 */
export function planPull(
  source: ByteSource,
  header: SourceHeader,
  path: string,
  isWanted: (name: string) => boolean,
): Plan {
  const wanted = [...header.tensors]
    .filter(([name]) => isWanted(name))
    .sort(([, a], [, b]) => a.start - b.start || a.end - b.end)
  const head = encodeHeader(new Map(wanted), {
    ...header.metadata,
    provenance: `${wanted.length} of ${header.tensors.size} tensors of ${source.name} (${source.size} bytes, header ${header.hash}), by ltx-a2a pull`,
  })
  const infos = wanted.map(([, info]) => info)
  return {
    source,
    path,
    head,
    ranges: planRanges(infos, head.length),
    tensors: wanted.length,
    size: head.length + sum(infos.map(({ start, end }) => end - start)),
  }
}

/**
 * @param plans of files on one disk. What an earlier attempt has written of them counts.
 * @throws UserError when there is not enough room for the rest.
 */
export function requireSpace(plans: readonly Pick<Plan, 'path' | 'size'>[], free = freeBytesAt) {
  const [{ path } = { path: '.' }] = plans
  const needed = sum(plans.map(({ path, size }) => size - occupiedBytes(`${path}.partial`)))
  const available = free(dirname(path))
  if (needed <= available) return
  throw new UserError(
    `${dirname(path)} needs ${sizeText(needed)} for it, but its disk has ${sizeText(available)} free`,
    {
      hint: `free ${sizeText(needed - available)}, or choose another path with --out`,
    },
  )
}

/**
 * Whether an earlier pull has written this file.
 * @throws UserError when another file has its name.
 */
export function isPulled({ path, head, size }: Pick<Plan, 'path' | 'head' | 'size'>): boolean {
  if (!existsSync(path)) return false
  const found = statSync(path)
  if (found.isFile() && found.size === size && Buffer.from(head).equals(readStart(path, head.length))) return true
  throw new UserError(`${path} exists already, and is not what would be pulled`, {
    hint: 'move it away, or choose another path with --out',
  })
}

export type PullOptions = {
  /** When it is aborted, its reason is thrown. */
  signal: AbortSignal
  /** Called with the number of new bytes of the result; first with those that an earlier attempt left. */
  onBytes?: (bytes: number) => void
}

/** Connections at once. More are not faster, and servers may refuse them. */
const connections = 4

/**
 * Fetches what is missing and renames the file when it is complete. What has arrived is kept when it is interrupted, and it continues from there.
 * @throws UserError when the source fails or has changed, or the disk refuses.
 */
export async function pull(plan: Plan, { signal, onBytes = () => {} }: PullOptions): Promise<void> {
  const { source, path, head, ranges, size } = plan
  const file = await openPartial(path, { head, size, version: source.version })
  try {
    const missing = ranges.filter((range) => !file.isDone(range))
    onBytes(bytesOf(ranges) - bytesOf(missing))
    const failed = new AbortController() // a failed connection stops all others
    const either = AbortSignal.any([signal, failed.signal])
    const queue = missing.values()
    const work = async () => {
      for (const range of queue) await fetchRange(source, range, file, either, onBytes)
    }
    const workers = Array.from({ length: connections }, () => work().catch((error) => failed.abort(error)))
    await Promise.all(workers)
    signal.throwIfAborted()
    failed.signal.throwIfAborted()
    await file.complete()
  } finally {
    await file.close()
  }
}

/** The number of bytes of the result that these ranges bring. */
export const bytesOf = (ranges: readonly Range[]) =>
  sum(ranges.flatMap(({ pieces }) => pieces.map(({ start, end }) => end - start)))

async function fetchRange(
  source: ByteSource,
  range: Range,
  file: PartialFile,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
) {
  signal.throwIfAborted()
  let position = range.start
  for await (const chunk of source.read(range.start, range.end, signal)) {
    for (const [bytes, at] of partsOf(range.pieces, chunk, position)) {
      await file.write(bytes, at)
      onBytes(bytes.length)
    }
    position += chunk.length
  }
  if (position !== range.end) throw new Error(`${source.location}: ${position} is not ${range.end}`)
  await file.finish(range)
}

/** A file that was allocated but not yet filled occupies less than its size. */
const occupiedBytes = (path: string) => (existsSync(path) ? statSync(path).blocks * 512 : 0)

function readStart(path: string, length: number): Uint8Array {
  const fd = openSync(path, 'r')
  try {
    const bytes = new Uint8Array(length)
    return bytes.subarray(0, readSync(fd, bytes, 0, length, 0))
  } finally {
    closeSync(fd)
  }
}
