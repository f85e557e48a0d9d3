/** Convolution of a recording with an impulse response, block by block, with the Fourier transform. */
import FFT from 'fft.js'
import { nextPowerOfTwo, spectrum } from '../fourier.ts'
import { concatenateSamples, deinterleave, interleave } from '../waveform.ts'
import type { BlockProcessor } from './stages.ts'

/** The most frames that are transformed at once. */
const mostFrames = 2 ** 17

/** Convolves each channel with its response, by overlap-add. The result has the length of the input: what comes after it is left out. */
export function createConvolution(
  responses: readonly Float32Array[],
  sampleRate: number,
  frames: number,
): BlockProcessor {
  const channelCount = responses.length
  const length = Math.max(...responses.map((response) => response.length))
  const hop = Math.min(mostFrames, Math.max(frames, 1))
  const fft = new FFT(nextPowerOfTwo(hop + length))
  const spectra = responses.map((response) => spectrum(fft, response))
  const overlaps = responses.map(() => new Float32Array(length))
  let pending = new Float32Array(0)
  const convolve = (block: Float32Array) => {
    const { channels } = deinterleave(block, channelCount, sampleRate)
    const convolved = channels.map((channel, c) => {
      const wet = multiply(fft, spectrum(fft, channel), spectra[c] as number[])
      const overlap = overlaps[c] as Float32Array
      for (let i = 0; i < length; i++) wet[i] = (wet[i] as number) + (overlap[i] as number)
      overlap.set(wet.subarray(channel.length, channel.length + length))
      return wet.slice(0, channel.length)
    })
    return interleave({ sampleRate, channels: convolved })
  }
  return {
    add: (block) => {
      pending = concatenateSamples([pending, block]) as Float32Array<ArrayBuffer>
      const whole = hop * channelCount
      const done: Float32Array[] = []
      for (; pending.length >= whole; pending = pending.slice(whole)) done.push(convolve(pending.subarray(0, whole)))
      return concatenateSamples(done)
    },
    end: () => convolve(pending),
  }
}

/** The signal whose transform is the product of two. */
function multiply(fft: FFT, a: readonly number[], b: readonly number[]): Float32Array {
  const product = new Array<number>(a.length)
  for (let i = 0; i < a.length; i += 2) {
    const [ar, ai, br, bi] = [a[i] as number, a[i + 1] as number, b[i] as number, b[i + 1] as number]
    product[i] = ar * br - ai * bi
    product[i + 1] = ar * bi + ai * br
  }
  const result = fft.createComplexArray() as number[]
  fft.inverseTransform(result, product)
  return Float32Array.from({ length: fft.size }, (_, i) => result[2 * i] as number)
}
