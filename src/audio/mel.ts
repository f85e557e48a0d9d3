/**
 * The log-mel front end of the LTX-2 audio VAE. Frames are centred, whatever the checkpoint's config says of causality: the
 * reference ignores those entries. Computed in float64 and rounded once, because bins near the floor are mostly rounding error.
 */
import FFT from 'fft.js'
import { sampleCount, type Waveform } from './waveform.ts'

/** What a checkpoint's config names. `hop` in samples; `nFft` is also the length of the window, a power of two. */
export type MelOptions = { sampleRate: number; nFft: number; hop: number; melBins: number }

/** `data` is row-major `[channels, frames, melBins]`, natural logarithms of magnitudes. */
export type Mel = { channels: number; frames: number; melBins: number; data: Float32Array }

/** Magnitudes below this are one and the same silence: ln(1e-5) ≈ −11.51. */
const floor = 1e-5

/**
 * Log-mel spectrogram; frame m is centred on sample m · hop, so there are `1 + floor(samples / hop)`.
 * The waveform has the options' sample rate and more than nFft / 2 samples (the reflected edges need them).
 */
export function logMel(waveform: Waveform, options: MelOptions): Mel {
  const { sampleRate, nFft, hop, melBins } = options
  const samples = sampleCount(waveform)
  if (waveform.sampleRate !== sampleRate) throw new Error(`mel of ${waveform.sampleRate} Hz, expected ${sampleRate}`)
  if (samples <= nFft / 2) throw new Error(`mel of ${samples} samples, needs more than ${nFft / 2}`)

  const frames = 1 + Math.floor(samples / hop)
  const channels = waveform.channels.length
  const data = new Float32Array(channels * frames * melBins)
  const magnitudes = magnitudeSpectrum(nFft)
  const filters = sparseFilters(melFilterbank(options), melBins)
  waveform.channels.forEach((channel, c) => {
    const padded = reflectPad(channel, nFft / 2)
    for (let frame = 0; frame < frames; frame++) {
      const spectrum = magnitudes(padded, frame * hop)
      filters.forEach(({ firstBin, weights }, bin) => {
        let sum = 0
        for (let i = 0; i < weights.length; i++) sum += (weights[i] as number) * (spectrum[firstBin + i] as number)
        data[(c * frames + frame) * melBins + bin] = Math.log(Math.max(sum, floor))
      })
    }
  })
  return { channels, frames, melBins, data }
}

/** The periodic Hann window: the symmetric one of length + 1 without its last sample. */
export const hannWindow = (length: number) =>
  Float64Array.from({ length }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * k) / length))

/** Triangles evenly spaced on Slaney's mel scale from 0 to half the sample rate, each of area 1: `[nFft / 2 + 1, melBins]`. */
export function melFilterbank({ sampleRate, nFft, melBins }: MelOptions): Float64Array {
  const highest = hertzToMel(sampleRate / 2)
  const corners = Array.from({ length: melBins + 2 }, (_, i) => melToHertz((highest * i) / (melBins + 1)))
  const bins = nFft / 2 + 1
  const bank = new Float64Array(bins * melBins)
  for (let mel = 0; mel < melBins; mel++) {
    const [low, centre, high] = corners.slice(mel, mel + 3) as [number, number, number]
    for (let bin = 0; bin < bins; bin++) {
      const frequency = (bin * sampleRate) / nFft
      const rise = (frequency - low) / (centre - low)
      const fall = (high - frequency) / (high - centre)
      bank[bin * melBins + mel] = (Math.max(0, Math.min(rise, fall)) * 2) / (high - low)
    }
  }
  return bank
}

/** Slaney's scale: linear below 1000 Hz (15 mel), logarithmic above. */
const hertzToMel = (hertz: number) =>
  hertz < 1000 ? (3 * hertz) / 200 : 15 + (Math.log(hertz / 1000) * 27) / Math.log(6.4)

const melToHertz = (mel: number) => (mel < 15 ? (mel * 200) / 3 : 1000 * Math.exp(((mel - 15) * Math.log(6.4)) / 27))

/** A filter has a few dozen neighbours that are not zero, out of hundreds of bins. */
function sparseFilters(bank: Float64Array, melBins: number) {
  return Array.from({ length: melBins }, (_, mel) => {
    const column = Float64Array.from({ length: bank.length / melBins }, (_, bin) => bank[bin * melBins + mel] as number)
    const firstBin = Math.max(
      0,
      column.findIndex((weight) => weight > 0),
    )
    const lastBin = column.findLastIndex((weight) => weight > 0)
    return { firstBin, weights: column.slice(firstBin, lastBin + 1) }
  })
}

/** A function from samples and a position to the magnitudes of one frame, which stay valid until its next call. */
function magnitudeSpectrum(nFft: number) {
  const fft = new FFT(nFft)
  const window = hannWindow(nFft)
  const frame: number[] = new Array(nFft).fill(0)
  const transformed = fft.createComplexArray() as number[]
  const magnitudes = new Float64Array(nFft / 2 + 1)
  return (samples: Float64Array, start: number) => {
    for (let i = 0; i < nFft; i++) frame[i] = (window[i] as number) * (samples[start + i] as number)
    fft.realTransform(transformed, frame) // fills the first half only
    for (let bin = 0; bin <= nFft / 2; bin++)
      magnitudes[bin] = Math.sqrt((transformed[2 * bin] as number) ** 2 + (transformed[2 * bin + 1] as number) ** 2)
    return magnitudes
  }
}

/** Mirrors both ends around their outermost sample, which is not repeated. */
function reflectPad(samples: Float32Array, reach: number): Float64Array {
  const padded = new Float64Array(samples.length + 2 * reach)
  padded.set(samples, reach)
  for (let i = 1; i <= reach; i++) {
    padded[reach - i] = samples[i] as number
    padded[reach + samples.length - 1 + i] = samples[samples.length - 1 - i] as number
  }
  return padded
}
