/** Which bytes of a file are asked for together, and where they go: pure arithmetic. */
import type { TensorInfo } from '../checkpoint/header.ts'

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
