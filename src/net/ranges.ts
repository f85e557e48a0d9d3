/** Which bytes of a file are requested together, and where they go. Pure arithmetic. */
import type { TensorInfo } from '../formats/safetensors-header.ts'
import { sum } from '../platform/statistics.ts'

/** Bytes `start` to `end` of the source belong at byte `at` of the result. */
export type Piece = { start: number; end: number; at: number }

/** One request. Its pieces are in order; the bytes between them are discarded. */
export type Range = { start: number; end: number; pieces: Piece[] }

export type RangeLimits = {
  /** The most bytes of a request. After an interruption only the requests in flight are repeated. */
  maxBytes: number
  /** The most bytes that may be requested and discarded, as a share of the wanted ones. */
  maxWaste: number
  /** No longer gap is ever requested. */
  maxGap: number
}

export const defaultRangeLimits: RangeLimits = { maxBytes: 16 * 2 ** 20, maxWaste: 0.005, maxGap: 2 ** 20 }

/**
 * Plans the requests for tensors, which become adjacent in the result, in the order of the source. Tensors that are adjacent in the source share a
 * request, and so do those with the smallest gaps between them, as long as little is wasted.
 * @param dataStart where in the result the first tensor goes.
 */
export function planRanges(
  tensors: Iterable<TensorInfo>,
  dataStart: number,
  limits: RangeLimits = defaultRangeLimits,
): Range[] {
  const pieces = mergeAdjacent(tensors, dataStart)
  return joinOverGaps(pieces, limits).flatMap((group) => split(group, limits.maxBytes))
}

function mergeAdjacent(tensors: Iterable<TensorInfo>, dataStart: number): Piece[] {
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

function joinOverGaps(pieces: readonly Piece[], { maxWaste, maxGap }: RangeLimits): Piece[][] {
  const wanted = sum(pieces.map(({ start, end }) => end - start))
  const gaps = pieces.slice(1).map((piece, i) => ({ before: piece, bytes: piece.start - (pieces[i] as Piece).end }))
  const joined = new Set<Piece>()
  let wasted = 0
  for (const { before, bytes } of gaps.sort((a, b) => a.bytes - b.bytes)) {
    wasted += bytes
    if (wasted > maxWaste * wanted || bytes > maxGap) break
    joined.add(before)
  }
  const groups: Piece[][] = []
  for (const piece of pieces)
    if (joined.has(piece)) groups.at(-1)?.push(piece)
    else groups.push([piece])
  return groups
}

/** Ranges of at most `maxBytes`. A range neither starts nor ends in a gap. */
function split(group: readonly Piece[], maxBytes: number): Range[] {
  const ranges: Range[] = []
  for (const piece of group)
    for (let start = piece.start; start < piece.end; ) {
      const last = ranges.at(-1)
      const range = last && start < last.start + maxBytes ? last : { start, end: start, pieces: [] }
      if (range !== last) ranges.push(range)
      const end = Math.min(piece.end, range.start + maxBytes)
      range.pieces.push({ start, end, at: piece.at + start - piece.start })
      range.end = end
      start = end
    }
  return ranges
}
