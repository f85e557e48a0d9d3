/** How well two signals match: at every lag, with the Fourier transform, or as they are. */
import FFT from 'fft.js'
import { mean } from '../../platform/statistics.ts'
import { nextPowerOfTwo, spectrum } from '../fourier.ts'

export type CrossCorrelation = {
  /** `values[maxLag + lag]` is the match when the second signal is taken `lag` samples later; 1 is a perfect match. */
  values: Float64Array
  maxLag: number
}

/**
 * The normalized cross-correlation of two signals for all lags from −maxLag to maxLag, in samples.
 * @param options.whitening 0 is the plain correlation. Towards 1, all frequencies count alike, which makes the peak of a wide-band sound as sharp as
 *   that of a click: the generalized cross-correlation of Knapp and Carter.
 */
export function crossCorrelation(
  first: Float32Array,
  second: Float32Array,
  { maxLag, whitening = 0 }: { maxLag: number; whitening?: number },
): CrossCorrelation {
  const size = nextPowerOfTwo(Math.max(first.length, second.length) + maxLag + 1)
  const fft = new FFT(size)
  const [a, b] = [spectrum(fft, first), spectrum(fft, second)]
  const product = crossSpectrum(a, b, whitening)
  const raw = fft.createComplexArray()
  fft.inverseTransform(raw, product)
  const norm = Math.sqrt(totalPower(a, whitening) * totalPower(b, whitening)) / size
  const values = Float64Array.from({ length: 2 * maxLag + 1 }, (_, i) => {
    const lag = i - maxLag
    const value = raw[2 * ((lag + size) % size)] as number
    return norm > 0 ? value / norm : 0
  })
  return { values, maxLag }
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

/** The correlation of a signal with itself at lag 0, times the size of the transform. */
function totalPower(a: readonly number[], whitening: number): number {
  let sum = 0
  for (let i = 0; i < a.length; i += 2) {
    const power = (a[i] as number) ** 2 + (a[i + 1] as number) ** 2
    if (power > 0) sum += power ** (1 - whitening)
  }
  return sum
}

export type Peak = {
  /** In samples, with the fraction of the vertex of a parabola through the peak and its neighbors. */
  lag: number
  value: number
  /** The value of the second highest peak. */
  runnerUp: number
}

/** The highest peak, and the second highest of those more than `minDistance` samples away from it. */
export function bestPeak({ values, maxLag }: CrossCorrelation, minDistance: number): Peak {
  let best = 0
  values.forEach((value, i) => {
    if (value > (values[best] as number)) best = i
  })
  let runnerUp = 0
  values.forEach((value, i) => {
    const isPeak = value >= (values[i - 1] ?? -1) && value >= (values[i + 1] ?? -1)
    if (Math.abs(i - best) > minDistance && isPeak) runnerUp = Math.max(runnerUp, value)
  })
  const value = values[best] as number
  return { lag: best - maxLag + vertex(values[best - 1], value, values[best + 1]), value, runnerUp }
}

/** The position of the vertex of the parabola through three neighbors, relative to the middle one. */
function vertex(before: number | undefined, middle: number, after: number | undefined): number {
  if (before === undefined || after === undefined) return 0
  const curvature = before - 2 * middle + after
  return curvature < 0 ? (before - after) / (2 * curvature) : 0
}

/**
 * Pearson's correlation of two signals of the same length, 0 where one of them is constant or empty.
 * `deviation` is the standard deviation of the first.
 */
export function pearson(first: Float32Array, second: Float32Array): { correlation: number; deviation: number } {
  const [meanFirst, meanSecond] = [mean(first), mean(second)]
  let [xx, yy, xy] = [0, 0, 0]
  for (let i = 0; i < first.length; i++) {
    const [x, y] = [(first[i] as number) - meanFirst, (second[i] as number) - meanSecond]
    xx += x * x
    yy += y * y
    xy += x * y
  }
  const correlation = xx > 1e-6 && yy > 1e-6 ? xy / Math.sqrt(xx * yy) : 0
  return { correlation, deviation: Math.sqrt(xx / Math.max(1, first.length)) }
}
