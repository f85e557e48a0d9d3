/**
 * The sound of a log-mel spectrogram without a network, by the fast Griffin–Lim algorithm (Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim
 * algorithm", 2013), which projects spectra again and again onto those that a sound can have. Here only the mel spectrogram is known, so the magnitudes
 * are not constant: each iteration keeps those of the sound so far, as far as the mel spectrogram allows.
 */
import { setImmediate } from 'node:timers/promises'
import { type Random, randomFor } from '../platform/random.ts'
import { type Mel, type MelOptions, melRows } from './mel.ts'
import { createMelInversion, type MelInversion } from './mel-inversion.ts'
import { createStft, type Spectra, type Stft } from './stft.ts'
import type { Waveform } from './waveform.ts'

/** How far each iteration goes beyond the projection. With 0.99, as for known magnitudes, the result is a quarter worse. */
const momentum = 0.9

/**
 * First the channels share their phases, which are found for the mean of their mel spectrograms: so a sound in the middle stays there. Then each channel
 * gets a spectrum of its own, which begins with the shared one.
 */
const [sharedIterations, ownIterations] = [32, 24]

/** Steps from equal magnitudes to those that the first iteration begins with. */
const inversionSteps = 15

/** The length of a piece, and how many frames around it are computed with it. */
const [pieceFrames, contextFrames] = [1000, 32]

/** Over so many frames, a piece is faded into the next one. */
const fadeFrames = 4

/**
 * The waveform of a log-mel of any length, piece after piece, at the sample rate of the options: frames · hop samples. The same log-mel gives the same
 * bytes. Frame m is centered on sample m · hop. Samples can exceed ±1, most of all in the first and last 40 ms.
 * @param onIteration called many times a second, while other work may run. What it throws ends the reconstruction.
 */
export async function* reconstructSound(
  mel: Mel,
  options: MelOptions,
  onIteration?: () => void,
): AsyncGenerator<Waveform> {
  let before: Piece | undefined
  for (let from = 0; from < mel.frames; from += pieceFrames) {
    const to = Math.min(mel.frames, from + pieceFrames)
    const start = Math.max(0, from - contextFrames)
    const end = Math.min(mel.frames, to + contextFrames)
    const channels = melMagnitudes(mel, start, end)
    const isLast = end === mel.frames
    const known = before && { piece: before, until: from }
    const piece = await reconstructPiece(channels, { ...options, start, isLast, onIteration }, known)
    yield {
      sampleRate: options.sampleRate,
      channels: piece.channels.map((channel, c) => {
        const samples = Float32Array.from(piece.samples(channel, from, to))
        if (before) fadeIn(samples, before.samples(before.channels[c] as Float64Array, from, from + fadeFrames))
        return samples
      }),
    }
    before = piece
  }
}

/** Signals with nFft / 2 samples before the center of the first frame. */
type Piece = {
  /** Its first frame. */
  start: number
  /** Of the mean of the channels. */
  mean: Float64Array
  channels: Float64Array[]
  /** The samples from the center of one frame to that of another, as far as there are any. */
  samples(signal: Float64Array, from: number, to: number): Float64Array
}

type PieceOptions = MelOptions & {
  /** Its first frame. */
  start: number
  /** Whether its last frame is that of the log-mel. */
  isLast: boolean
  onIteration: (() => void) | undefined
}

/**
 * @param channels the mel magnitudes of each channel, `[frames, melBins]`.
 * @param known what comes before: its samples up to the center of a frame are kept.
 */
async function reconstructPiece(
  channels: readonly Float32Array[],
  { start, isLast, onIteration, ...options }: PieceOptions,
  known?: { piece: Piece; until: number },
): Promise<Piece> {
  const { nFft, hop } = options
  const mean = meanOf(channels)
  const stft = createStft(mean.length / options.melBins, options)
  const inversion = createMelInversion(options)
  const knownSamples = known ? (known.until - start) * hop + nFft / 2 : 0
  const constrain = (before: Float64Array | undefined) => (signal: Float64Array) => {
    if (start === 0) reflectStart(signal, nFft / 2)
    if (isLast) reflectEnd(signal, nFft / 2)
    if (!known || !before) return
    const offset = (start - known.piece.start) * hop
    for (let n = nFft / 2; n < knownSamples; n++) signal[n] = before[offset + n] as number
  }
  const shared = randomPhases(stft.frames * stft.bins, randomFor(0, 'phases', start))
  const magnitudes = new Float32Array(stft.frames * stft.bins).fill(1)
  for (let step = 1; step < inversionSteps; step++) inversion.approach(magnitudes, mean)
  withMagnitudes(shared, magnitudes)
  const common = { stft, inversion, onIteration }
  const keepMean = constrain(known?.piece.mean)
  const mono = await iterate(shared, mean, { ...common, iterations: sharedIterations, constrain: keepMean })
  const signals: Float64Array[] = []
  for (const [c, mel] of channels.entries()) {
    const own = { real: shared.real.slice(), imaginary: shared.imaginary.slice() }
    const keepChannel = constrain(known?.piece.channels[c])
    signals.push(await iterate(own, mel, { ...common, iterations: ownIterations, constrain: keepChannel }))
  }
  return {
    start,
    mean: mono,
    channels: signals,
    samples: (signal, from, to) => signal.subarray((from - start) * hop + nFft / 2, (to - start) * hop + nFft / 2),
  }
}

type Iterations = {
  stft: Stft
  inversion: MelInversion
  iterations: number
  /** Restores what is known of the samples. */
  constrain(signal: Float64Array): void
  onIteration: (() => void) | undefined
}

/** Changes the spectra. @returns the signal with their phases. */
async function iterate(spectra: Spectra, mel: Float32Array, options: Iterations): Promise<Float64Array> {
  const { stft, inversion, iterations, constrain, onIteration } = options
  const signal = new Float64Array(stft.length)
  const magnitudes = new Float32Array(spectra.real.length)
  const project = () => {
    readMagnitudes(spectra, magnitudes)
    inversion.approach(magnitudes, mel)
    withMagnitudes(spectra, magnitudes)
    stft.inverse(spectra, signal)
  }
  let before: Spectra | undefined
  for (let i = 0; i < iterations; i++) {
    project()
    constrain(signal)
    stft.forward(signal, spectra)
    before = accelerate(spectra, before)
    await setImmediate()
    onIteration?.()
  }
  project()
  return signal
}

/** The front end of the model reflects a sound at its ends, which are the centers of the first and last frame. */
function reflectStart(signal: Float64Array, center: number) {
  const count = Math.min(center, signal.length - 1 - center)
  for (let n = 1; n <= count; n++) signal[center - n] = signal[center + n] as number
}

function reflectEnd(signal: Float64Array, margin: number) {
  const center = signal.length - margin
  for (let n = 1; n < margin; n++) signal[center + n] = signal[center - n] as number
}

/** c ← t + momentum · (t − the t before). @returns t. */
function accelerate(current: Spectra, before: Spectra | undefined): Spectra {
  if (!before) return { real: current.real.slice(), imaginary: current.imaginary.slice() }
  for (const part of ['real', 'imaginary'] as const) {
    const [c, t] = [current[part], before[part]]
    for (let k = 0; k < c.length; k++) {
      const now = c[k] as number
      c[k] = now + momentum * (now - (t[k] as number))
      t[k] = now
    }
  }
  return before
}

function readMagnitudes({ real, imaginary }: Spectra, magnitudes: Float32Array) {
  for (let k = 0; k < magnitudes.length; k++)
    magnitudes[k] = Math.sqrt((real[k] as number) ** 2 + (imaginary[k] as number) ** 2)
}

/** Keeps the phases and sets the magnitudes. */
function withMagnitudes({ real, imaginary }: Spectra, magnitudes: Float32Array) {
  for (let k = 0; k < magnitudes.length; k++) {
    const [re, im] = [real[k] as number, imaginary[k] as number]
    const scale = (magnitudes[k] as number) / Math.max(Math.sqrt(re * re + im * im), 1e-16)
    real[k] = re * scale
    imaginary[k] = im * scale
  }
}

function randomPhases(count: number, random: Random): Spectra {
  const spectra = { real: new Float32Array(count), imaginary: new Float32Array(count) }
  for (let k = 0; k < count; k++) {
    const phase = 2 * Math.PI * random.uniform()
    spectra.real[k] = Math.cos(phase)
    spectra.imaginary[k] = Math.sin(phase)
  }
  return spectra
}

function meanOf(channels: readonly Float32Array[]): Float32Array {
  const [first = new Float32Array()] = channels
  return first.map((_, k) => channels.reduce((sum, channel) => sum + (channel[k] as number), 0) / channels.length)
}

/** Fades from what comes before to the samples. */
function fadeIn(samples: Float32Array, before: Float64Array) {
  const length = Math.min(samples.length, before.length)
  for (let n = 0; n < length; n++) {
    const share = (n + 0.5) / length
    samples[n] = share * (samples[n] as number) + (1 - share) * (before[n] as number)
  }
}

/** The frames `from … to − 1` of each channel, as magnitudes. */
const melMagnitudes = (mel: Mel, from: number, to: number): Float32Array[] =>
  Array.from({ length: mel.channels }, (_, c) => melRows(mel, c, from, to).map(Math.exp))
