/** Mel spectrograms for comparing sounds: 64 mel bands up to 8 kHz, as the audio VAE has them, 100 frames per second, in decibels. */
import { mean } from '../../platform/statistics.ts'
import { logMel } from '../mel.ts'
import { sampleCount, type Waveform } from '../waveform.ts'
import { comparedSampleRate as sampleRate } from './channels.ts'

/** `decibels` is row-major `[frames, bands]`. */
export type Spectrogram = { frames: number; bands: number; decibels: Float32Array }

export const framesPerSecond = 100
export const bands = 64
const windowLength = 1024

const decibelsPerNeper = 20 / Math.log(10)

/** @param waveform from `toMono`; one that is no longer than half a window has no frames. */
export function spectrogramOf(waveform: Waveform): Spectrogram {
  if (sampleCount(waveform) <= windowLength / 2) return { frames: 0, bands, decibels: new Float32Array(0) }
  const hop = sampleRate / framesPerSecond
  const { frames, data } = logMel(waveform, { sampleRate, nFft: windowLength, hop, melBins: bands })
  return { frames, bands, decibels: data.map((neper) => neper * decibelsPerNeper) }
}

/** The spectrogram without its first `count` frames; a negative count drops none. */
export function dropFrames({ frames, bands, decibels }: Spectrogram, count: number): Spectrogram {
  const dropped = Math.min(frames, Math.max(0, count))
  return { frames: frames - dropped, bands, decibels: decibels.subarray(dropped * bands) }
}

/** Cuts the beginning of one of them so that their frames correspond. @param lagSeconds how much later `second` is. */
export function alignSpectrograms(
  first: Spectrogram,
  second: Spectrogram,
  lagSeconds: number,
): [Spectrogram, Spectrogram] {
  const lag = Math.round(lagSeconds * framesPerSecond)
  return [dropFrames(first, -lag), dropFrames(second, lag)]
}

/** Cells further below the loudest cell of their sound, in decibels, are not compared. */
const comparedRange = 60

/** A sound without a cell above this is silent. The log-mel front end clamps at −100 dB. */
const silenceDecibels = -99

/**
 * How different two aligned sounds are: the mean absolute difference of their audible cells in decibels, after the mean difference in level is
 * subtracted. 0 is the same sound, 1 hardly audible, 6 a radio, 15 another sound. `null` where one of them is silent or too short.
 */
export function logMelDistance(first: Spectrogram, second: Spectrogram): number | null {
  const differences = audibleDifferences(first, second)
  if (differences.length === 0) return null
  const level = mean(differences)
  return mean(differences.map((difference) => Math.abs(difference - level)))
}

function audibleDifferences(first: Spectrogram, second: Spectrogram): Float32Array {
  const cells = Math.min(first.frames, second.frames) * bands
  const [a, b] = [first.decibels.subarray(0, cells), second.decibels.subarray(0, cells)]
  if (Math.min(maxOf(a), maxOf(b)) <= silenceDecibels) return new Float32Array(0)
  const [floorA, floorB] = [maxOf(a) - comparedRange, maxOf(b) - comparedRange]
  const differences: number[] = []
  for (let i = 0; i < cells; i++) {
    const [x, y] = [a[i] as number, b[i] as number]
    if (x > floorA || y > floorB) differences.push(Math.max(y, floorB) - Math.max(x, floorA))
  }
  return Float32Array.from(differences)
}

/** −Infinity for an empty array. */
export const maxOf = (values: Float32Array) => values.reduce((max, value) => Math.max(max, value), -Infinity)

/** Groups of adjacent mel bands. */
export const bandGroups = 16

/** Mean and standard deviation over time of the level of each band group, in decibels; zeros where there are no frames. */
export function bandGroupStatistics(
  spectrogram: Spectrogram,
  frames = spectrogram.frames,
): { means: number[]; deviations: number[] } {
  if (frames === 0) return { means: Array(bandGroups).fill(0), deviations: Array(bandGroups).fill(0) }
  const size = spectrogram.bands / bandGroups
  const levels = Array.from({ length: bandGroups }, (_, group) =>
    Float32Array.from({ length: frames }, (_, frame) => {
      const at = frame * spectrogram.bands + group * size
      return mean(spectrogram.decibels.subarray(at, at + size))
    }),
  )
  const means = levels.map(mean)
  const deviations = levels.map((level, i) =>
    Math.sqrt(mean(level.map((value) => (value - (means[i] as number)) ** 2))),
  )
  return { means, deviations }
}
