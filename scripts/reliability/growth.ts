/** How a measured value grows, told so that single samples count for little. */

export type Measured = { step: number; value: number }

export type Growth = {
  /** From the median of the first samples to that of the last. */
  ofMedians: number
  /** Of the straight line through all of them, from its beginning to its end. */
  ofTrend: number
}

/** Both as shares: 0.05 is five percent. @param window how many samples make a median. */
export function growthOf(samples: readonly Measured[], window: number): Growth {
  const values = samples.map(({ value }) => value)
  const first = median(values.slice(0, window))
  const slope = theilSen(samples)
  const steps = (samples.at(-1)?.step ?? 0) - (samples[0]?.step ?? 0)
  const start = median(samples.map(({ step, value }) => value - slope * (step - (samples[0]?.step ?? 0))))
  return { ofMedians: median(values.slice(-window)) / first - 1, ofTrend: (slope * steps) / start }
}

/** The median slope between any two samples: a third of them may lie far off without moving it much. */
function theilSen(samples: readonly Measured[]): number {
  const slopes = samples.flatMap((a, i) => samples.slice(i + 1).map((b) => (b.value - a.value) / (b.step - a.step)))
  return median(slopes)
}

const median = (values: readonly number[]) => {
  const sorted = [...values].sort((a, b) => a - b)
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]] as [number, number]
  return (low + high) / 2
}
