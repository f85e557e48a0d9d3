/**
 * The log-mel front end of the LTX-2 audio VAE. Frames are centered, even where the checkpoint's config says that they are causal: the reference
 * ignores those entries. It is computed in float64 and rounded once, because bins near the floor consist mostly of rounding errors.
 */
import FFT from 'fft.js'
import { sampleCount, type Waveform } from './waveform.ts'

/** Values from a checkpoint's config. `hop` is in samples; `nFft` is the length of the FFT and of the window, a power of two. */
export type MelOptions = { sampleRate: number; nFft: number; hop: number; melBins: number }

/** `data` is row-major `[channels, frames, melBins]`: natural logarithms of magnitudes. */
export type Mel = { channels: number; frames: number; melBins: number; data: Float32Array }

/** Smaller magnitudes are clamped to this: ln(1e-5) ≈ −11.51. */
const floor = 1e-5

/**
 * The log-mel spectrogram of each channel. Frame m is centered on sample m · hop.
 * @throws Error when the waveform has another sample rate than the options, or no more than nFft / 2 samples, which its reflected edges need.
 */
export function logMel(waveform: Waveform, options: MelOptions): Mel {
  const { sampleRate, nFft, hop, melBins } = options
  const samples = sampleCount(waveform)
  if (waveform.sampleRate !== sampleRate)
    throw new Error(`the waveform has ${waveform.sampleRate} Hz, the log-mel front end needs ${sampleRate} Hz`)
  if (samples <= nFft / 2)
    throw new Error(`the waveform has ${samples} samples, the log-mel front end needs more than ${nFft / 2}`)

  const frames = melFrameCount(samples, hop)
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

/** The frames `from … to − 1` of a channel, `[to − from, melBins]`: a view. */
export const melRows = ({ frames, melBins, data }: Mel, channel: number, from: number, to: number): Float32Array =>
  data.subarray((channel * frames + from) * melBins, (channel * frames + to) * melBins)

/** The frames `from … to − 1` of the log-mel of a waveform, without computing the others. @throws as `logMel` does. */
export function logMelFrames(waveform: Waveform, from: number, to: number, options: MelOptions): Mel {
  const { nFft, hop } = options
  const margin = Math.ceil(nFft / 2 / hop) // frames whose windows reach beyond the ends of a part
  const start = Math.max(0, from - margin)
  const part = waveform.channels.map((channel) => channel.subarray(start * hop, (to - 1 + margin) * hop + 1))
  return sliceMel(logMel({ ...waveform, channels: part }, options), from - start, to - start)
}

/** A copy of the frames `from … to − 1`. */
export function sliceMel(mel: Mel, from: number, to: number): Mel {
  const { channels, melBins } = mel
  const frames = to - from
  const data = new Float32Array(channels * frames * melBins)
  for (let c = 0; c < channels; c++) data.set(melRows(mel, c, from, to), c * frames * melBins)
  return { channels, frames, melBins, data }
}

/** The number of frames of a log-mel, `1 + floor(samples / hop)`: the first is centered on sample 0, the last at or before the end. */
export const melFrameCount = (samples: number, hop: number) => 1 + Math.floor(samples / hop)

/** The periodic Hann window: the symmetric one of length + 1, without its last sample. */
export const hannWindow = (length: number) =>
  Float64Array.from({ length }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * k) / length))

/** Triangular filters of area 1, evenly spaced on Slaney's mel scale from 0 Hz to half the sample rate: row-major `[nFft / 2 + 1, melBins]`. */
export function melFilterbank({ sampleRate, nFft, melBins }: MelOptions): Float64Array {
  const corners = melCorners(sampleRate / 2, melBins + 1)
  const bins = nFft / 2 + 1
  const bank = new Float64Array(bins * melBins)
  for (let mel = 0; mel < melBins; mel++) {
    const [low, center, high] = corners.slice(mel, mel + 3) as [number, number, number]
    for (let bin = 0; bin < bins; bin++) {
      const frequency = (bin * sampleRate) / nFft
      const rise = (frequency - low) / (center - low)
      const fall = (high - frequency) / (high - center)
      bank[bin * melBins + mel] = (Math.max(0, Math.min(rise, fall)) * 2) / (high - low)
    }
  }
  return bank
}

/** The `bands + 1` edges, in Hz, of bands from 0 to `highest` that are evenly spaced on Slaney's mel scale. */
export const melCorners = (highest: number, bands: number): number[] =>
  Array.from({ length: bands + 1 }, (_, i) => melToHertz((hertzToMel(highest) * i) / bands))

/** Slaney's mel scale: linear below 1000 Hz (15 mel), logarithmic above. */
const hertzToMel = (hertz: number) =>
  hertz < 1000 ? (3 * hertz) / 200 : 15 + (Math.log(hertz / 1000) * 27) / Math.log(6.4)

const melToHertz = (mel: number) => (mel < 15 ? (mel * 200) / 3 : 1000 * Math.exp(((mel - 15) * Math.log(6.4)) / 27))

export type SparseFilter = { firstBin: number; weights: Float64Array }

/** The weights of each filter that are not zero: a few dozen adjacent bins out of hundreds. */
export function sparseFilters(bank: Float64Array, melBins: number): SparseFilter[] {
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

/** Returns a function that computes the magnitudes of the frame at `start`. It returns the same array at every call. */
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

/** Mirrors both ends at their outermost sample, which is not repeated. */
function reflectPad(samples: Float32Array, padding: number): Float64Array {
  const padded = new Float64Array(samples.length + 2 * padding)
  padded.set(samples, padding)
  for (let i = 1; i <= padding; i++) {
    padded[padding - i] = samples[i] as number
    padded[padding + samples.length - 1 + i] = samples[samples.length - 1 - i] as number
  }
  return padded
}
