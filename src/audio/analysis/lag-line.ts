/** How the lag of one recording behind another changes over time: two recorders whose clocks differ drift apart at a constant rate. */
import { median } from '../../platform/statistics.ts'

/** The lag of the second recording at one time of the first one, in seconds. */
export type LagPoint = { seconds: number; lag: number }

/** What the first recording has at time `t`, the second one has at `t + lag + drift · t`, in seconds. */
export type LagLine = { lag: number; drift: number }

export const lagAt = ({ lag, drift }: LagLine, seconds: number) => lag + drift * seconds

/** Fewer measurements could agree by chance. */
const fewestPoints = 3
/** The share of the measurements that must agree. */
const agreeingShare = 0.6

/**
 * The line through lags measured at several times, whatever a few of them are: the median of all slopes (Theil and Sen). Undefined where too few agree
 * with it within `tolerance`, in seconds, as where a recording has a gap.
 */
export function fitLagLine(points: readonly LagPoint[], tolerance: number): LagLine | undefined {
  if (points.length < fewestPoints) return undefined
  const slopes = points.flatMap((a, i) =>
    points.slice(i + 1).map((b) => (b.lag - a.lag) / Math.max(Number.EPSILON, b.seconds - a.seconds)),
  )
  const drift = median(slopes)
  const line = { lag: median(points.map(({ seconds, lag }) => lag - drift * seconds)), drift }
  const agreeing = points.filter(({ seconds, lag }) => Math.abs(lag - lagAt(line, seconds)) <= tolerance)
  return agreeing.length >= Math.max(fewestPoints, agreeingShare * points.length) ? line : undefined
}
