/** How the two sides of a pair compare, and the lag between them over the whole recordings: as the inspection reports it, and as a repair removes it. */
import type { LagLine } from '../audio/analysis/lag-line.ts'
import { lagAt } from '../audio/analysis/lag-line.ts'
import type { Head } from '../audio/analysis/measurement.ts'
import { comparePair, type PairComparison, type Transformation } from '../audio/analysis/pair-comparison.ts'
import {
  atSpeed,
  isConstantLag,
  measureLagLine,
  recordWindowsAt,
  smallestDrift,
  type TimedWindow,
  windowSeconds,
} from '../audio/analysis/timing.ts'
import { measureAudio } from '../audio/decode.ts'
import type { Pair } from './dataset-file.ts'
import type { PairDurations } from './fit-plan.ts'
import type { Source } from './source.ts'

/** `driftPpm` is how much more slowly the target plays, in parts per million, where that can be heard: its lag grows. `lagSeconds` is then that at the beginning. */
export type ComparedSound = PairComparison & { driftPpm?: number }

/** What is kept of one side while it is decoded. */
export type TimedSide = { head: Head; windows: readonly TimedWindow[] }

/** `line` is undefined where the recordings are too short, or do not agree on one. */
export type ComparedSides = { sound: ComparedSound; transformation: Transformation; line: LagLine | undefined }

/**
 * Compares the beginnings of the sides, and then windows of both over their whole length. Where only the windows match, because the sides drift apart, the
 * beginnings are compared again without the drift.
 * @param seconds the length of the shorter side.
 */
export function compareSides(reference: TimedSide, target: TimedSide, seconds: number): ComparedSides {
  const { comparison, transformation } = compareHeads(reference.head, target.head)
  const { common, lagSeconds } = comparison
  const hasLag = common === 'waveform' && lagSeconds !== null
  if (hasLag && isConstantLag(reference.windows, target.windows, { lag: lagSeconds, seconds }))
    return { sound: comparison, transformation, line: { lag: lagSeconds, drift: 0 } }
  const guess = { lag: hasLag ? lagSeconds : 0, drift: 0 }
  const line = measureLagLine(reference.windows, target.windows, { guess, seconds })
  if (!line) return { sound: comparison, transformation, line }
  const drift = isDrift(line, seconds) ? { driftPpm: line.drift * 1e6 } : undefined
  if (hasLag || !drift) return { sound: { ...comparison, ...drift }, transformation, line }
  const again = compareHeads(reference.head, withoutDrift(target.head, line))
  return { sound: { ...again.comparison, lagSeconds: line.lag, ...drift }, transformation: again.transformation, line }
}

/** Whether the lag changes by what can be heard over that many seconds. */
export const isDrift = ({ drift }: LagLine, seconds: number) => Math.abs(drift) * seconds >= smallestDrift

const compareHeads = (reference: Head, target: Head) =>
  comparePair(reference.waveform, target.waveform, { targetLater: target.start - reference.start })

/** The beginning as it would be without lag and drift. */
function withoutDrift(head: Head, line: LagLine): Head {
  return { start: head.start, waveform: atSpeed(head, head.start + lagAt(line, head.start), 1 + line.drift) }
}

/** In seconds. Windows of both sides that begin at the same time must overlap, to be compared. */
const comparableLag = 1

/**
 * Measures the lag again where it is so large, at the beginning or at the end, that the windows of `compareSides` do not overlap. It decodes the reference
 * once, and the target until its windows are where the line expects them.
 * @param line what is known of the lag.
 */
export async function refineLagLine(
  source: Source,
  pair: Pair,
  line: LagLine,
  durations: PairDurations,
): Promise<LagLine> {
  const seconds = Math.min(durations.reference, durations.target)
  if (Math.max(Math.abs(line.lag), Math.abs(lagAt(line, seconds))) <= comparableLag) return line
  let best = line
  for (let pass = 0; pass < mostPasses; pass++) {
    const starts = windowStarts(best, durations)
    const reference = await recordWindows(source, pair.reference, starts)
    const expected = starts.map((start) => start + lagAt(best, start))
    const target = await recordWindows(source, pair.target, expected)
    const next = measureLagLine(reference, target, { guess: best, seconds })
    if (!next) return best
    const change = Math.abs(lagAt(next, seconds) - lagAt(best, seconds))
    best = next
    if (change < windowSeconds / 4) break
  }
  return best
}

const mostPasses = 3
const refinedWindows = 12

/** Times of the reference at which the line expects the target to have a whole window. */
function windowStarts(line: LagLine, { reference, target }: PairDurations): number[] {
  const first = Math.max(0, -line.lag)
  const last = Math.min(reference, (target - line.lag) / (1 + line.drift)) - 2 * windowSeconds
  const count = Math.min(refinedWindows, Math.floor((last - first) / windowSeconds) + 1)
  if (count < 3) return []
  return Array.from({ length: count }, (_, i) => Math.ceil(first + (i * (last - first)) / (count - 1)))
}

async function recordWindows(source: Source, path: string, starts: readonly number[]): Promise<TimedWindow[]> {
  const recorder = recordWindowsAt(starts)
  const onSamples = recorder.add
  await source.withFile(path, (file) =>
    measureAudio(file, { headSeconds: 0, name: path, limits: source.limits, signal: source.signal, onSamples }),
  )
  return recorder.windows()
}
