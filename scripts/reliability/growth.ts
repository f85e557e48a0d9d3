/** The growth of a measured value, estimated so that outliers have little effect. */

export type Measured = { step: number; value: number }

export type Growth = {
  /** From the median of the first samples to the median of the last. */
  ofMedians: number
  /** Of a line fitted to all samples, from its start to its end. */
  ofTrend: number
}

/** Both are fractions: 0.05 is five percent. @param window the number of samples in a median. */
export function growthOf(samples: readonly Measured[], window: number): Growth {
  const values = samples.map(({ value }) => value)
  const first = median(values.slice(0, window))
  const slope = theilSen(samples)
  const steps = (samples.at(-1)?.step ?? 0) - (samples[0]?.step ?? 0)
  const start = median(samples.map(({ step, value }) => value - slope * (step - (samples[0]?.step ?? 0))))
  return { ofMedians: median(values.slice(-window)) / first - 1, ofTrend: (slope * steps) / start }
}

/** The Theil–Sen estimator: the median slope between any two samples. It is robust if at most 29 % of the samples are outliers. */
function theilSen(samples: readonly Measured[]): number {
  const slopes = samples.flatMap((a, i) => samples.slice(i + 1).map((b) => (b.value - a.value) / (b.step - a.step)))
  return median(slopes)
}

const median = (values: readonly number[]) => {
  const sorted = [...values].sort((a, b) => a - b)
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]] as [number, number]
  return (low + high) / 2
}
