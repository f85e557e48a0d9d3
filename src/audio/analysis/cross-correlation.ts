/** How well one signal fits another when it is moved along it, for all moves at once, through the Fourier transform. */
import FFT from 'fft.js'

export type Correlation = {
  /** Index `reach + lag` holds the fit when the second signal is taken `lag` samples later; 1 is a perfect fit. */
  values: Float64Array
  reach: number
}

/**
 * @param whitening 0 is the plain correlation; towards 1 every frequency counts alike, which makes the peak of a wide-band sound as sharp as a
 *   click (the generalised cross-correlation of Knapp and Carter)
 */
export function crossCorrelation(
  first: Float32Array,
  second: Float32Array,
  { reach, whitening = 0 }: { reach: number; whitening?: number },
): Correlation {
  const size = powerOfTwo(Math.max(first.length, second.length) + reach + 1)
  const fft = new FFT(size)
  const [a, b] = [spectrum(fft, first, size), spectrum(fft, second, size)]
  const product = crossSpectrum(a, b, whitening)
  const raw = fft.createComplexArray()
  fft.inverseTransform(raw, product)
  const norm = Math.sqrt(totalPower(a, whitening) * totalPower(b, whitening)) / size
  const values = Float64Array.from({ length: 2 * reach + 1 }, (_, i) => {
    const lag = i - reach
    const value = raw[2 * ((lag + size) % size)] as number
    return norm > 0 ? value / norm : 0
  })
  return { values, reach }
}

export type Peak = {
  /** In samples, with the fraction that a parabola through the neighbours gives. */
  lag: number
  value: number
  /** The best fit anywhere else, further away than `apart`. */
  runnerUp: number
}

/** The best fit, and how much better it is than the next best at least `apart` samples away. */
export function bestPeak({ values, reach }: Correlation, apart: number): Peak {
  let best = 0
  values.forEach((value, i) => {
    if (value > (values[best] as number)) best = i
  })
  let runnerUp = 0
  values.forEach((value, i) => {
    const isPeak = value >= (values[i - 1] ?? -1) && value >= (values[i + 1] ?? -1)
    if (Math.abs(i - best) > apart && isPeak) runnerUp = Math.max(runnerUp, value)
  })
  const value = values[best] as number
  return { lag: best - reach + vertex(values[best - 1], value, values[best + 1]), value, runnerUp }
}

/** Where the parabola through three neighbours has its top, from the middle one. */
function vertex(before: number | undefined, middle: number, after: number | undefined): number {
  if (before === undefined || after === undefined) return 0
  const curvature = before - 2 * middle + after
  return curvature < 0 ? (before - after) / (2 * curvature) : 0
}

const powerOfTwo = (atLeast: number) => 2 ** Math.ceil(Math.log2(Math.max(2, atLeast)))

/** Complex, interleaved. */
function spectrum(fft: FFT, samples: Float32Array, size: number): number[] {
  const padded = new Array<number>(size).fill(0)
  samples.forEach((sample, i) => {
    padded[i] = sample
  })
  const transformed = fft.createComplexArray() as number[]
  fft.realTransform(transformed, padded)
  fft.completeSpectrum(transformed)
  return transformed
}

/** conj(a) · b, each bin divided by its magnitude to the power of `whitening`. */
function crossSpectrum(a: readonly number[], b: readonly number[], whitening: number): number[] {
  const product = new Array<number>(a.length).fill(0)
  for (let i = 0; i < a.length; i += 2) {
    const [ar, ai, br, bi] = [a[i] as number, a[i + 1] as number, b[i] as number, b[i + 1] as number]
    const power = (ar * ar + ai * ai) * (br * br + bi * bi)
    const gain = whitening === 0 ? 1 : power > 0 ? power ** (-whitening / 2) : 0
    product[i] = (ar * br + ai * bi) * gain
    product[i + 1] = (ar * bi - ai * br) * gain
  }
  return product
}

/** What the correlation of a signal with itself would be without any lag, times the size. */
function totalPower(a: readonly number[], whitening: number): number {
  let sum = 0
  for (let i = 0; i < a.length; i += 2) {
    const power = (a[i] as number) ** 2 + (a[i + 1] as number) ** 2
    if (power > 0) sum += power ** (1 - whitening)
  }
  return sum
}
