/** Fingerprints of recordings: small enough to keep thousands of them, and precise enough to find a copy that begins at another place. */
import FFT from 'fft.js'
import type { OnSamples } from '../decode.ts'
import { hannWindow, melCorners } from '../mel.ts'
import { openResampler, type Resampler } from '../resample.ts'
import { concatenateSamples, deinterleave, toStereo } from '../waveform.ts'
import { comparedSampleRate as sampleRate } from './channels.ts'

/**
 * `levels` is row-major `[frames, fingerprintBands]`, 50 frames per second: the level of each band in steps of half a decibel, from −114 dBFS on. The power
 * of both channels is added, so channels that are inverted do not cancel.
 */
export type Fingerprint = { levels: Uint8Array; frames: number }

export const fingerprintBands = 16
export const fingerprintRate = 50

/** In half decibels. */
export const decibel = 2

/** 128 ms: long enough that a copy whose frames begin 10 ms earlier has nearly the same levels. */
const windowLength = 2048
const hop = sampleRate / fingerprintRate
/** The level of the number 0, in decibels of the power of a transform: a sine at full scale has 54 dB. */
const lowestLevel = -60

export type Fingerprinter = {
  /** The format is that of the first call. */
  add: OnSamples
  /** Of everything that was added. To be called once. */
  read(): Fingerprint
}

/** @param seconds how much of the beginning to describe. */
export function createFingerprinter(seconds: number): Fingerprinter {
  const levelsOf = bandLevels()
  const rows: Uint8Array[] = []
  let resampler: Resampler | undefined
  let rest = [new Float32Array(), new Float32Array()]
  const take = (channels: readonly Float32Array[]) => {
    const [left, right] = rest.map((before, c) => concatenateSamples([before, channels[c] as Float32Array])) as Sides
    let start = 0
    for (; start + windowLength <= left.length && !isFull(); start += hop) rows.push(levelsOf(left, right, start))
    rest = [left.slice(start), right.slice(start)]
  }
  const isFull = () => rows.length >= seconds * fingerprintRate
  return {
    add: (block, { sampleRate: rate, channelCount }) => {
      if (isFull()) return
      resampler ??= openResampler(rate, sampleRate, 2)
      take(resampler.push(toStereo(deinterleave(block, channelCount, rate)).channels))
    },
    read: () => {
      if (resampler) take(resampler.finish())
      const levels = new Uint8Array(rows.length * fingerprintBands)
      for (const [frame, row] of rows.entries()) levels.set(row, frame * fingerprintBands)
      return { levels, frames: rows.length }
    },
  }
}

type Sides = [Float32Array, Float32Array]

/** Returns a function that measures one frame. One complex transform has the spectra of both channels. */
function bandLevels() {
  const fft = new FFT(windowLength)
  const window = hannWindow(windowLength)
  const frame = fft.createComplexArray() as number[]
  const transformed = fft.createComplexArray() as number[]
  const hertzPerBin = sampleRate / windowLength
  const edges = melCorners(sampleRate / 2, fingerprintBands).map((hertz) => Math.ceil(hertz / hertzPerBin))
  const powerAt = (bin: number) => (transformed[2 * bin] as number) ** 2 + (transformed[2 * bin + 1] as number) ** 2
  return (left: Float32Array, right: Float32Array, start: number): Uint8Array => {
    for (let i = 0; i < windowLength; i++) {
      frame[2 * i] = (window[i] as number) * (left[start + i] as number)
      frame[2 * i + 1] = (window[i] as number) * (right[start + i] as number)
    }
    fft.transform(transformed, frame)
    return Uint8Array.from({ length: fingerprintBands }, (_, band) => {
      let power = 0
      const first = Math.max(1, edges[band] as number) // without the offset
      for (let bin = first; bin < (edges[band + 1] as number); bin++)
        power += (powerAt(bin) + powerAt(windowLength - bin)) / 2
      const level = 10 * Math.log10(Math.max(power, 1e-12)) - lowestLevel
      return Math.max(0, Math.min(255, Math.round(level * decibel)))
    })
  }
}
