/** The tensors of the vocoder that are computed from formulas (reference §4.1, §4.3). */
import { hannWindow, melFilterbank } from '../../src/audio/mel.ts'
import { bandwidthExtension } from './configs.ts'

const { n_fft: nFft, num_mels: melBins, input_sampling_rate: sampleRate } = bandwidthExtension
const bins = nFft / 2 + 1

/** The low-pass filter of the anti-aliased activations: a Kaiser-windowed sinc with sum 1. */
export function antiAliasFilter(taps = 12, cutoff = 0.25, halfWidth = 0.3): Float32Array {
  const attenuation = 2.285 * (taps / 2 - 1) * Math.PI * 4 * halfWidth + 7.95
  const beta = 0.1102 * (attenuation - 8.7) // Kaiser's rule for attenuations above 50 dB
  const filter = Float64Array.from({ length: taps }, (_, i) => {
    const fromCenter = (2 * i) / (taps - 1) - 1
    const window = besselI0(beta * Math.sqrt(1 - fromCenter ** 2)) / besselI0(beta)
    return 2 * cutoff * window * sinc(2 * cutoff * (i - (taps - 1) / 2))
  })
  const sum = filter.reduce((a, b) => a + b)
  return Float32Array.from(filter, (tap) => tap / sum)
}

/** The real parts of a windowed Fourier transform, then the imaginary parts: `[2 · bins, 1, nFft]`. */
export const forwardBasis = () => fourierBasis(() => 1)

/** The inverse transform of one frame. All bins but the first and the last count twice. */
export const inverseBasis = () => fourierBasis((bin) => (bin === 0 || bin === bins - 1 ? 1 : 2) / nFft)

/** `[melBins, bins]`. */
export function melBasis(): Float32Array {
  const bank = melFilterbank({ sampleRate, nFft, hop: 1, melBins })
  return Float32Array.from(bank, (_, i) => bank[(i % bins) * melBins + Math.floor(i / bins)] as number)
}

function fourierBasis(weightOf: (bin: number) => number): Float32Array {
  const window = hannWindow(nFft)
  return Float32Array.from({ length: 2 * bins * nFft }, (_, i) => {
    const [row, sample] = [Math.floor(i / nFft), i % nFft]
    const bin = row % bins
    const angle = (2 * Math.PI * ((bin * sample) % nFft)) / nFft
    return weightOf(bin) * (window[sample] as number) * (row < bins ? Math.cos(angle) : -Math.sin(angle))
  })
}

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x))

/** The modified Bessel function of order 0, by its power series. */
function besselI0(x: number): number {
  let [sum, term] = [1, 1]
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2
    sum += term
  }
  return sum
}
