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
