/** The short-time Fourier transform of real signals, and its least-squares inverse. */
import FFT from 'fft.js'
import { hannWindow } from './mel.ts'

export type StftOptions = {
  /** The length of the transform and of the window, a power of two. */
  nFft: number
  /** In samples. */
  hop: number
}

/** Complex numbers by frame and bin, row-major `[frames, nFft / 2 + 1]`. */
export type Spectra = { real: Float32Array; imaginary: Float32Array }

export type Stft = {
  readonly frames: number
  /** Of a frame: nFft / 2 + 1. */
  readonly bins: number
  /** The length of the signals: nFft / 2 samples before the center of the first frame, and as many after that of the last. */
  readonly length: number
  forward(signal: Float64Array, spectra: Spectra): void
  /** The signal whose transform is nearest to the spectra. */
  inverse(spectra: Spectra, signal: Float64Array): void
}

/** With a periodic Hann window. Two frames are transformed at once, as one complex signal. */
export function createStft(frames: number, { nFft, hop }: StftOptions): Stft {
  const fft = new FFT(nFft)
  const window = hannWindow(nFft)
  const bins = nFft / 2 + 1
  const length = (frames - 1) * hop + nFft
  const power = windowPower(window, frames, hop)
  const input = fft.createComplexArray() as number[]
  const output = fft.createComplexArray() as number[]
  /** The first samples of two frames; the last frame may have no second one. */
  const pairs = Array.from({ length: Math.ceil(frames / 2) }, (_, pair) => ({
    frame: 2 * pair,
    first: 2 * pair * hop,
    second: 2 * pair + 1 < frames ? (2 * pair + 1) * hop : undefined,
  }))
  return {
    frames,
    bins,
    length,
    forward: (signal, { real, imaginary }) => {
      for (const { frame, first, second } of pairs) {
        for (let n = 0; n < nFft; n++) {
          const w = window[n] as number
          input[2 * n] = w * (signal[first + n] as number)
          input[2 * n + 1] = second === undefined ? 0 : w * (signal[second + n] as number)
        }
        fft.transform(output, input)
        // of z = x + i·y: X(k) = (Z(k) + conj Z(−k)) / 2, Y(k) = (Z(k) − conj Z(−k)) / 2i
        for (let k = 0; k < bins; k++) {
          const mirrored = k === 0 ? 0 : nFft - k
          const [zr, zi] = [output[2 * k] as number, output[2 * k + 1] as number]
          const [mr, mi] = [output[2 * mirrored] as number, output[2 * mirrored + 1] as number]
          const at = frame * bins + k
          real[at] = (zr + mr) / 2
          imaginary[at] = (zi - mi) / 2
          if (second === undefined) continue
          real[at + bins] = (zi + mi) / 2
          imaginary[at + bins] = (mr - zr) / 2
        }
      }
    },
    inverse: ({ real, imaginary }, signal) => {
      signal.fill(0)
      for (const { frame, first, second } of pairs) {
        for (let k = 0; k < bins; k++) {
          const at = frame * bins + k
          const [xr, xi] = [real[at] as number, imaginary[at] as number]
          const yr = second === undefined ? 0 : (real[at + bins] as number)
          const yi = second === undefined ? 0 : (imaginary[at + bins] as number)
          input[2 * k] = xr - yi
          input[2 * k + 1] = xi + yr
          if (k === 0 || k === bins - 1) continue
          input[2 * (nFft - k)] = xr + yi
          input[2 * (nFft - k) + 1] = yr - xi
        }
        fft.inverseTransform(output, input)
        for (let n = 0; n < nFft; n++) {
          const w = window[n] as number
          signal[first + n] = (signal[first + n] as number) + w * (output[2 * n] as number)
          if (second !== undefined)
            signal[second + n] = (signal[second + n] as number) + w * (output[2 * n + 1] as number)
        }
      }
      for (let n = 0; n < length; n++) {
        const weight = power[n] as number
        signal[n] = weight > 1e-10 ? (signal[n] as number) / weight : 0 // at the ends, where windows are almost zero
      }
    },
  }
}

/** The sum of the squared windows of all frames at every sample. */
function windowPower(window: Float64Array, frames: number, hop: number): Float64Array {
  const power = new Float64Array((frames - 1) * hop + window.length)
  for (let frame = 0; frame < frames; frame++)
    for (let n = 0; n < window.length; n++)
      power[frame * hop + n] = (power[frame * hop + n] as number) + (window[n] as number) ** 2
  return power
}
