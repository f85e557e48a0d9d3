/** Which bytes of a file are asked for together, and where they go: pure arithmetic. */
import {
  encodeHeader,
  type Header,
  headerLength,
  lengthBytes,
  parseHeader,
  type TensorInfo,
} from '../formats/safetensors-header.ts'
import { type ByteSource, readAll } from './byte-source.ts'
import { hashOf } from './partial-file.ts'

/** Bytes `start` to `end` of the source belong at byte `at` of the result. */
export type Piece = { start: number; end: number; at: number }

/** One request: its pieces lie in it in order; what lies between them is thrown away. */
export type Range = { start: number; end: number; pieces: Piece[] }

export type RangeLimits = {
  /** How long a request may be. After an interruption no more than the ones in flight is asked for again. */
  longest: number
  /** How many bytes may be asked for in vain, as a share of those that are wanted. */
  waste: number
  /** No gap longer than this is ever asked for. */
  longestGap: number
}

export const defaultLimits: RangeLimits = { longest: 16 * 2 ** 20, waste: 0.005, longestGap: 2 ** 20 }

/**
 * Requests for these tensors, which become neighbours in the result, in the source's order. Neighbours of the source share a request; so do
 * those with the smallest gaps between them, as long as the waste stays small.
 * @param dataStart where in the result the first one goes.
 */
export function planRanges(
  tensors: Iterable<TensorInfo>,
  dataStart: number,
  limits: RangeLimits = defaultLimits,
): Range[] {
  const pieces = placeNeighbours(tensors, dataStart)
  return joinOverGaps(pieces, limits).flatMap((group) => cut(group, limits.longest))
}

function placeNeighbours(tensors: Iterable<TensorInfo>, dataStart: number): Piece[] {
  const pieces: Piece[] = []
  let at = dataStart
  for (const { start, end } of [...tensors].sort((a, b) => a.start - b.start)) {
    const last = pieces.at(-1)
    if (last?.end === start) last.end = end
    else if (end > start) pieces.push({ start, end, at })
    at += end - start
  }
  return pieces
}

function joinOverGaps(pieces: readonly Piece[], { waste, longestGap }: RangeLimits): Piece[][] {
  const wanted = pieces.reduce((sum, { start, end }) => sum + end - start, 0)
  const gaps = pieces.slice(1).map((piece, i) => ({ before: piece, bytes: piece.start - (pieces[i] as Piece).end }))
  const joined = new Set<Piece>()
  let wasted = 0
  for (const { before, bytes } of gaps.sort((a, b) => a.bytes - b.bytes)) {
    wasted += bytes
    if (wasted > waste * wanted || bytes > longestGap) break
    joined.add(before)
  }
  const groups: Piece[][] = []
  for (const piece of pieces)
    if (joined.has(piece)) groups.at(-1)?.push(piece)
    else groups.push([piece])
  return groups
}

/** Ranges of at most `longest` bytes; a range neither begins nor ends in a gap. */
function cut(group: readonly Piece[], longest: number): Range[] {
  const ranges: Range[] = []
  for (const piece of group)
    for (let start = piece.start; start < piece.end; ) {
      const last = ranges.at(-1)
      const range = last && start < last.start + longest ? last : { start, end: start, pieces: [] }
      if (range !== last) ranges.push(range)
      const end = Math.min(piece.end, range.start + longest)
      range.pieces.push({ start, end, at: piece.at + start - piece.start })
      range.end = end
      start = end
    }
  return ranges
}

/** What a pull will fetch and write, known from the source's header alone. */

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
