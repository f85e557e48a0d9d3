/** A sound as the model's ears have it: 64 mel bands up to 8 kHz, a hundred times a second, here in decibels. */
import { logMel } from '../mel.ts'
import { resample } from '../resample.ts'
import { sampleCount, type Waveform } from '../waveform.ts'

/** Row-major `[frames, bands]`, decibels. */
export type Spectrum = { frames: number; bands: number; decibels: Float32Array }

export const framesPerSecond = 100
export const bands = 64
const sampleRate = 16_000
const windowLength = 1024

const decibelsPerNeper = 20 / Math.log(10)

/** What is this much below the loudest cell of either sound does not count. */
const audibleRange = 60

/** The front end's own floor is −100 dB. */
const silence = -99

/** The mean of all channels, at 16 kHz. */
export function toMono(waveform: Waveform): Waveform {
  const [first, ...others] = waveform.channels as [Float32Array, ...Float32Array[]]
  const mixed = first.map((sample, i) => others.reduce((sum, channel) => sum + (channel[i] as number), sample))
  const channel = others.length === 0 ? first : mixed.map((sample) => sample / waveform.channels.length)
  return resample({ sampleRate: waveform.sampleRate, channels: [channel] }, sampleRate)
}

/** @param waveform from `toMono`; one shorter than half a window has no frames. */
export function spectrumOf(waveform: Waveform): Spectrum {
  if (sampleCount(waveform) <= windowLength / 2) return { frames: 0, bands, decibels: new Float32Array(0) }
  const hop = sampleRate / framesPerSecond
  const { frames, data } = logMel(waveform, { sampleRate, nFft: windowLength, hop, melBins: bands })
  return { frames, bands, decibels: data.map((neper) => neper * decibelsPerNeper) }
}

/** The same spectrum from `frames` later on; frames before the first one are left out. */
export const later = ({ frames, bands, decibels }: Spectrum, by: number): Spectrum => {
  const dropped = Math.min(frames, Math.max(0, by))
  return { frames: frames - dropped, bands, decibels: decibels.subarray(dropped * bands) }
}

/** Both brought to where they belong together: `second` is `lagSeconds` later than `first`. */
export function aligned(first: Spectrum, second: Spectrum, lagSeconds: number): [Spectrum, Spectrum] {
  const lag = Math.round(lagSeconds * framesPerSecond)
  return [later(first, -lag), later(second, lag)]
}

/**
 * How different two sounds are, frame by frame: the mean difference of their audible cells in decibels, after the difference in level is taken
 * away. 0 is the same sound, 1 hardly audible, 6 a radio, 15 another sound. `null` where one of them is silent or too short.
 */
export function spectralDistance(first: Spectrum, second: Spectrum): number | null {
  const differences = audibleDifferences(first, second)
  if (differences.length === 0) return null
  const level = mean(differences)
  return mean(differences.map((difference) => Math.abs(difference - level)))
}

function audibleDifferences(first: Spectrum, second: Spectrum): Float32Array {
  const cells = Math.min(first.frames, second.frames) * bands
  const [a, b] = [first.decibels.subarray(0, cells), second.decibels.subarray(0, cells)]
  if (Math.min(highest(a), highest(b)) <= silence) return new Float32Array(0)
  const [floorA, floorB] = [highest(a) - audibleRange, highest(b) - audibleRange]
  const differences: number[] = []
  for (let i = 0; i < cells; i++) {
    const [x, y] = [a[i] as number, b[i] as number]
    if (x > floorA || y > floorB) differences.push(Math.max(y, floorB) - Math.max(x, floorA))
  }
  return Float32Array.from(differences)
}

export const highest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, value), -Infinity)

const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length
