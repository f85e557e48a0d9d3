/** What a pull will fetch and write, known from the source's header alone. */
import { encodeHeader, type Header, headerLength, lengthBytes, parseHeader } from '../checkpoint/header.ts'
import { hashOf } from './journal.ts'
import { planRanges, type Range } from './ranges.ts'
import { type ByteSource, readAll } from './source.ts'

export type Plan = {
  source: ByteSource
  /** Where the result goes. */
  path: string
  /** The result's first bytes. */
  head: Uint8Array
  ranges: Range[]
  tensors: number
  /** The result's size. */
  size: number
}

/** Chooses among the names of a header. It may throw: nothing was written yet. */
export type Select = (header: Header) => (name: string) => boolean

/**
 * The result holds the source's metadata and a note of where its tensors are from. The same source gives the same bytes, whether it lies here or
 * on a server.
 * @throws UserError when the source is not a safetensors file, or cannot be read.
 */
export async function planPull(source: ByteSource, path: string, select: Select, signal: AbortSignal): Promise<Plan> {
  const { header, hash } = await readHeader(source, signal)
  const isWanted = select(header)
  const wanted = [...header.tensors]
    .filter(([name]) => isWanted(name))
    .sort(([, a], [, b]) => a.start - b.start || a.end - b.end)
  const head = encodeHeader(new Map(wanted), {
    ...header.metadata,
    provenance: `${wanted.length} of ${header.tensors.size} tensors of ${source.name} (${source.size} bytes, header ${hash}), by ltx-a2a pull`,
  })
  const infos = wanted.map(([, info]) => info)
  return {
    source,
    path,
    head,
    ranges: planRanges(infos, head.length),
    tensors: wanted.length,
    size: infos.reduce((sum, { start, end }) => sum + end - start, head.length),
  }
}

async function readHeader(source: ByteSource, signal: AbortSignal) {
  const start = await readAll(source, 0, Math.min(lengthBytes, source.size), signal)
  const json = await readAll(source, lengthBytes, lengthBytes + headerLength(start, source), signal)
  return { header: parseHeader(json, source), hash: hashOf(json) }
}
