/** Statistics of lists of numbers. */

export const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}

/** NaN for an empty list. */
export const mean = (values: Iterable<number> & ArrayLike<number>): number => sum(values) / values.length

/** The upper of the two middle values where the count is even; NaN for an empty list. */
export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** Of more points, only those that are half the list apart are compared. */
const mostComparedPoints = 500

/** The slope of a line that outliers hardly change: the median of the slopes between the points (Theil and Sen). NaN for fewer than two points. */
export function medianSlope(points: readonly (readonly [x: number, y: number])[]): number {
  const { length } = points
  const distances = length > mostComparedPoints ? [Math.floor(length / 2)] : points.slice(1).map((_, i) => i + 1)
  const slopes = distances.flatMap((distance) =>
    points.slice(distance).map(([x, y], i) => {
      const [earlierX, earlierY] = points[i] as readonly [number, number]
      return (y - earlierY) / (x - earlierX)
    }),
  )
  return median(slopes)
}

export type MovingAverage = {
  /** @returns the average so far. */
  add(value: number): number
}

/** An exponential moving average with bias correction: the first values count as much as the later ones. @param weight of the newest value, 0 to 1. */
export function createMovingAverage(weight: number): MovingAverage {
  let [average, totalWeight] = [0, 0]
  return {
    add: (value) => {
      average += weight * (value - average)
      totalWeight += weight * (1 - totalWeight)
      return average / totalWeight
    },
  }
}
