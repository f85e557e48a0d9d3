/** Fourier transforms of real signals. */
import type FFT from 'fft.js'

export const nextPowerOfTwo = (atLeast: number) => 2 ** Math.ceil(Math.log2(Math.max(2, atLeast)))

/** The transform of `samples` followed by zeros: complex numbers, real and imaginary parts interleaved. */
export function spectrum(fft: FFT, samples: Float32Array): number[] {
  const padded = new Array<number>(fft.size).fill(0)
  for (let i = 0; i < samples.length; i++) padded[i] = samples[i] as number
  const transformed = fft.createComplexArray() as number[]
  fft.realTransform(transformed, padded)
  fft.completeSpectrum(transformed)
  return transformed
}
