/** Sound in memory, and what can be done to it sample by sample: measure, cut, join, mix to stereo, normalize. */
import { sum } from '../platform/statistics.ts'

/** One Float32Array per channel, all of the same length. Samples are nominally in [−1, 1]. */
export type Waveform = { sampleRate: number; channels: Float32Array[] }

/** Samples per channel. */
export const sampleCount = ({ channels }: Waveform) => channels[0]?.length ?? 0

export const durationOf = (waveform: Waveform) => sampleCount(waveform) / waveform.sampleRate

/** 0.1 dB above full scale. Resampling overshoots by less. */
const audiblyClipped = 1.0116

/** How many samples of a channel are so far above full scale that clipping them can be heard. */
export const countClipped = (samples: Float32Array) =>
  samples.reduce((count, sample) => count + (Math.abs(sample) > audiblyClipped ? 1 : 0), 0)

/** Samples above full scale become ±1. */
export const clipSamples = ({ sampleRate, channels }: Waveform): Waveform => ({
  sampleRate,
  channels: channels.map((samples) => samples.map((sample) => Math.min(1, Math.max(-1, sample)))),
})

/** The first `samples` samples per channel, or all of them where there are fewer. The result shares memory with `waveform`. */
export const firstSamples = ({ sampleRate, channels }: Waveform, samples: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.subarray(0, samples)),
})

/** Adds silence. @param before in samples, as is `after`. */
export const padWithSilence = ({ sampleRate, channels }: Waveform, before: number, after: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => {
    const padded = new Float32Array(before + channel.length + after)
    padded.set(channel, before)
    return padded
  }),
})

/** Joins waveforms end to end; all have the sample rate and the number of channels of the first. */
export function concatenateWaveforms(waveforms: readonly Waveform[]): Waveform {
  const [first] = waveforms
  if (!first) throw new Error('there is no waveform to concatenate')
  const channels = first.channels.map((_, c) =>
    concatenateSamples(waveforms.map(({ channels }) => channels[c] as Float32Array)),
  )
  return { sampleRate: first.sampleRate, channels }
}

export function concatenateSamples(blocks: readonly Float32Array[]): Float32Array {
  const samples = new Float32Array(sum(blocks.map(({ length }) => length)))
  let at = 0
  for (const block of blocks) {
    samples.set(block, at)
    at += block.length
  }
  return samples
}

/** Frame after frame, a frame holding one sample of each channel: the layout of wav files and pipes. */
export function interleave({ channels }: Waveform): Float32Array {
  const samples = channels[0]?.length ?? 0
  const interleaved = new Float32Array(samples * channels.length)
  channels.forEach((channel, c) => {
    for (let i = 0; i < samples; i++) interleaved[i * channels.length + c] = channel[i] as number
  })
  return interleaved
}

/** The inverse of `interleave`; an incomplete last frame is dropped. */
export function deinterleave(interleaved: Float32Array, channelCount: number, sampleRate: number): Waveform {
  const samples = Math.floor(interleaved.length / channelCount)
  const channels = Array.from({ length: channelCount }, () => new Float32Array(samples))
  channels.forEach((channel, c) => {
    for (let i = 0; i < samples; i++) channel[i] = interleaved[i * channelCount + c] as number
  })
  return { sampleRate, channels }
}

/** The largest absolute sample of all channels. */
export const peak = ({ channels }: Waveform) => Math.max(0, ...channels.map(peakOf))

export function peakOf(samples: Float32Array): number {
  let highest = 0
  for (const sample of samples) highest = Math.max(highest, Math.abs(sample))
  return highest
}

/** An amplitude in decibels relative to full scale: 1 → 0, 0.5 → −6.02, 0 → −∞. */
export const toDbfs = (amplitude: number) => 20 * Math.log10(amplitude)

export const fromDbfs = (decibels: number) => 10 ** (decibels / 20)

/**
 * A clip with a peak up to this (−80 dBFS) counts as silent. The threshold is above zero because a 16-bit file dithered over digital silence
 * peaks near −90 dBFS, and raising that to −1 dBFS would train on noise.
 */
export const silencePeak = fromDbfs(-80)

/**
 * Samples further from zero (+60 dBFS) are damage. Beside one of them, a normalized clip at full scale would lie below −60 dBFS, where the inspection
 * counts sound as silence. Peaks above full scale are otherwise legal in float files, and recorders use them.
 */
export const largestSample = 1000

/** The peak of a normalized clip. −1 dBFS leaves room for the overshoot of resamplers and lossy codecs. */
const normalizedPeak = fromDbfs(-1)

/** Scales all channels by the same gain so that the peak is −1 dBFS. A silent clip is returned unchanged. */
export function normalizePeak(waveform: Waveform): Waveform {
  const highest = peak(waveform)
  if (highest <= silencePeak) return waveform
  const gain = normalizedPeak / highest
  return { ...waveform, channels: waveform.channels.map((channel) => channel.map((sample) => sample * gain)) }
}

/**
 * Converts any channel layout to stereo: mono is duplicated, 5.1 and 7.1 are downmixed, and any other layout is averaged and duplicated. Each
 * sample depends on its own frame alone, so a waveform can be converted in pieces. The weights are those of LTX-2's dataset preprocessing. The
 * channels are in the order of wav files and ffmpeg, L R C LFE Ls Rs for 5.1 and L R C LFE Lb Rb Ls Rs for 7.1; LFE is dropped.
 */
export function toStereo(waveform: Waveform): Waveform {
  const { channels, sampleRate } = waveform
  if (channels.length === 2) return waveform
  const downmix = downmixes[channels.length]
  if (downmix) return { sampleRate, channels: downmix.map((weights) => mix(waveform, weights)) }
  const average = mix(
    waveform,
    channels.map((_, channel) => [channel, 1 / channels.length] as const),
  )
  return { sampleRate, channels: [average, average.slice()] }
}

/** The input channels of an output channel, with their weights. */
type MixWeights = readonly (readonly [channel: number, weight: number])[]

// biome-ignore lint/suspicious/noApproximativeNumericConstant: the reference uses 0.707, not √½
const surroundWeight = 0.707
const downmixes: Record<number, readonly [left: MixWeights, right: MixWeights]> = {
  6: [
    normalizeWeights([0, 1], [2, surroundWeight], [4, surroundWeight]),
    normalizeWeights([1, 1], [2, surroundWeight], [5, surroundWeight]),
  ],
  8: [
    normalizeWeights([0, 1], [2, surroundWeight], [4, surroundWeight], [6, surroundWeight]),
    normalizeWeights([1, 1], [2, surroundWeight], [5, surroundWeight], [7, surroundWeight]),
  ],
}

/** Weights that add up to 1, so that the loudest possible mix still fits into ±1. */
function normalizeWeights(...weights: [channel: number, weight: number][]): MixWeights {
  const total = sum(weights.map(([, weight]) => weight))
  return weights.map(([channel, weight]) => [channel, weight / total] as const)
}

function mix(waveform: Waveform, weights: MixWeights): Float32Array {
  const samples = sampleCount(waveform)
  const sum = new Float64Array(samples)
  for (const [channel, weight] of weights) {
    const source = waveform.channels[channel] as Float32Array
    for (let i = 0; i < samples; i++) sum[i] = (sum[i] as number) + weight * (source[i] as number)
  }
  return Float32Array.from(sum)
}
