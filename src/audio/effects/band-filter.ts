/** A band-pass filter that delays nothing: filters of telephones and radios turn the phase, which would move the two sides of a pair against each other. */
import FFT from 'fft.js'
import { nextPowerOfTwo } from '../fourier.ts'
import { concatenateSamples } from '../waveform.ts'
import { createConvolution } from './convolution.ts'
import type { BlockProcessor, SoundLevel } from './stages.ts'

/** Keeps the band between two frequencies in Hz, with the slopes of Butterworth filters of order 4: −3 dB at both, and 24 dB per octave. */
export const keepBand =
  (lowHz: number, highHz: number) =>
  ({ sampleRate, channelCount, frames }: SoundLevel): BlockProcessor => {
    const halfLength = Math.ceil(halfSeconds * sampleRate)
    const response = zeroPhaseResponse(halfLength, (hertz) => gainAt(hertz, lowHz, highHz), sampleRate)
    const convolution = createConvolution(Array<Float32Array>(channelCount).fill(response), sampleRate, frames)
    return withoutDelay(convolution, halfLength * channelCount)
  }

/** On each side of its center, the response is as long as it takes one at 25 Hz to die away, in seconds. */
const halfSeconds = 0.15

const gainAt = (hertz: number, lowHz: number, highHz: number) =>
  1 / Math.sqrt((1 + (lowHz / Math.max(hertz, 1e-9)) ** 8) * (1 + (hertz / highHz) ** 8))

/** A symmetric impulse response of `2 · halfLength + 1` samples with the gain at each frequency, under a Hann window. */
function zeroPhaseResponse(halfLength: number, gain: (hertz: number) => number, sampleRate: number): Float32Array {
  const fft = new FFT(nextPowerOfTwo(4 * halfLength))
  const spectrum = fft.createComplexArray() as number[]
  for (let i = 0; i < fft.size; i++) {
    spectrum[2 * i] = gain((Math.min(i, fft.size - i) * sampleRate) / fft.size)
    spectrum[2 * i + 1] = 0
  }
  const impulse = fft.createComplexArray() as number[]
  fft.inverseTransform(impulse, spectrum)
  return Float32Array.from({ length: 2 * halfLength + 1 }, (_, i) => {
    const distance = Math.abs(i - halfLength)
    return (impulse[2 * distance] as number) * Math.cos((Math.PI * distance) / (2 * halfLength + 2)) ** 2
  })
}

/** @param values how many interleaved samples later the result of `processor` comes. */
function withoutDelay(processor: BlockProcessor, values: number): BlockProcessor {
  let dropped = 0
  const drop = (block: Float32Array) => {
    const now = Math.min(values - dropped, block.length)
    dropped += now
    return block.subarray(now)
  }
  return {
    add: (block) => drop(processor.add(block)),
    end: () =>
      concatenateSamples([
        drop(processor.add(new Float32Array(values))),
        drop(processor.end?.() ?? new Float32Array(0)),
      ]),
  }
}
