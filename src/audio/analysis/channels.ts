/** How the channels of a recording relate to each other, and how they become the one channel that sounds are compared by. */
import { sum } from '../../platform/statistics.ts'
import { resample } from '../resample.ts'
import { interleave, silencePeak, type Waveform } from '../waveform.ts'

export type ChannelMeasurements = {
  /** Whether the channels cancel each other where they are mixed to one, as those of a stereo file do when one of them is inverted. */
  channelsCancel: boolean
  /** The channels, counted from 0, whose peak is at most `silencePeak`. */
  silentChannels: number[]
}

export type ChannelMeter = {
  /** Interleaved samples, whole frames. */
  add(block: Float32Array): void
  read(): ChannelMeasurements & { variances: number[] }
}

/**
 * The channels cancel each other when the variance of their sum is less than this share of the sum of their variances: for two equally loud channels,
 * at a correlation below −0.8. The share is 1 for unrelated channels and 2 for two equal ones.
 */
const cancellingShare = 0.2

export function createChannelMeter(channelCount: number): ChannelMeter {
  const [sums, powers, peaks] = [1, 2, 3].map(() => new Float64Array(channelCount)) as [Values, Values, Values]
  let [frames, mixSum, mixPower] = [0, 0, 0]
  const variance = (total: number, power: number) => Math.max(0, power / frames - (total / frames) ** 2)
  return {
    add: (block) => {
      for (let at = 0; at + channelCount <= block.length; at += channelCount) {
        let mix = 0
        for (let c = 0; c < channelCount; c++) {
          const sample = block[at + c] as number
          mix += sample
          sums[c] = (sums[c] as number) + sample
          powers[c] = (powers[c] as number) + sample * sample
          peaks[c] = Math.max(peaks[c] as number, Math.abs(sample))
        }
        mixSum += mix
        mixPower += mix * mix
        frames++
      }
    },
    read: () => {
      const variances = Array.from(powers, (power, c) => variance(sums[c] as number, power))
      return {
        channelsCancel: variance(mixSum, mixPower) < cancellingShare * sum(variances),
        silentChannels: [...peaks.keys()].filter((c) => (peaks[c] as number) <= silencePeak),
        variances,
      }
    },
  }
}

type Values = Float64Array

/** The sample rate at which sounds are compared. */
export const comparedSampleRate = 16_000

/** One channel at 16 kHz: the mean of all channels, or the loudest of them where they cancel each other. */
export const toMono = (waveform: Waveform): Waveform => mixToMono(waveform).mono

/** The same, and whether the channels cancel each other. */
export function mixToMono(waveform: Waveform): { mono: Waveform; channelsCancel: boolean } {
  const { channels } = waveform
  const [first, ...others] = channels as [Float32Array, ...Float32Array[]]
  if (others.length === 0) return { mono: resampled(waveform, first), channelsCancel: false }
  const { channelsCancel, variances } = measureChannels(waveform)
  const loudest = () => channels[variances.indexOf(Math.max(...variances))] as Float32Array
  const mean = () =>
    first
      .map((sample, i) => others.reduce((total, channel) => total + (channel[i] as number), sample))
      .map((sample) => sample / channels.length)
  return { mono: resampled(waveform, channelsCancel ? loudest() : mean()), channelsCancel }
}

/** One of the channels at 16 kHz. */
export const channelOf = (waveform: Waveform, channel: number): Waveform =>
  resampled(waveform, waveform.channels[channel] as Float32Array)

const resampled = ({ sampleRate }: Waveform, samples: Float32Array) =>
  resample({ sampleRate, channels: [samples] }, comparedSampleRate)

function measureChannels(waveform: Waveform) {
  const meter = createChannelMeter(waveform.channels.length)
  meter.add(interleave(waveform))
  return meter.read()
}
