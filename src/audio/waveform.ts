/** Sound in memory: one Float32Array per channel, all of one length, nominally in [−1, 1]. */
export type Waveform = { sampleRate: number; channels: Float32Array[] }

/** Samples per channel. */
export const sampleCount = ({ channels }: Waveform) => channels[0]?.length ?? 0

export const durationOf = (waveform: Waveform) => sampleCount(waveform) / waveform.sampleRate

/** The first `samples` samples; a shorter waveform stays as it is. */
export const firstSamples = ({ sampleRate, channels }: Waveform, samples: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.subarray(0, samples)),
})

/** The largest absolute sample over all channels. */
export const peak = ({ channels }: Waveform) => Math.max(0, ...channels.map(highestSample))

export function highestSample(samples: Float32Array): number {
  let highest = 0
  for (const sample of samples) highest = Math.max(highest, Math.abs(sample))
  return highest
}

/** An amplitude in decibels relative to full scale: 1 → 0, 0.5 → −6.02, 0 → −∞. */
export const toDbfs = (amplitude: number) => 20 * Math.log10(amplitude)

export const fromDbfs = (decibels: number) => 10 ** (decibels / 20)

/**
 * Below this peak (−80 dBFS) a clip counts as silent. It is not zero because a 16-bit file dithered over digital silence
 * peaks near −90 dBFS, and lifting that to −1 dBFS would train on noise.
 */
export const silenceCeiling = fromDbfs(-80)

/** Frame after frame, the channels of each side by side: the layout of wav files and pipes. */
export function interleave({ channels }: Waveform): Float32Array {
  const samples = channels[0]?.length ?? 0
  const mixed = new Float32Array(samples * channels.length)
  channels.forEach((channel, c) => {
    for (let i = 0; i < samples; i++) mixed[i * channels.length + c] = channel[i] as number
  })
  return mixed
}

/** The inverse of `interleave`; an incomplete last frame is dropped. */
export function deinterleave(mixed: Float32Array, channelCount: number, sampleRate: number): Waveform {
  const samples = Math.floor(mixed.length / channelCount)
  const channels = Array.from({ length: channelCount }, () => new Float32Array(samples))
  channels.forEach((channel, c) => {
    for (let i = 0; i < samples; i++) channel[i] = mixed[i * channelCount + c] as number
  })
  return { sampleRate, channels }
}

/**
 * Any channel layout to stereo. The weights are those LTX-2's dataset preprocessing uses, in the channel order of wav files and
 * ffmpeg: L R C LFE Ls Rs for 5.1, L R C LFE Lb Rb Ls Rs for 7.1. The low-frequency channel is left out.
 */

/** Which source channels a stereo side is made of, and how loud each is. */
type Blend = readonly (readonly [channel: number, weight: number])[]

// biome-ignore lint/suspicious/noApproximativeNumericConstant: the reference says 0.707, not √½
const side = 0.707
const surround: Record<number, readonly [left: Blend, right: Blend]> = {
  6: [scaled([0, 1], [2, side], [4, side]), scaled([1, 1], [2, side], [5, side])],
  8: [scaled([0, 1], [2, side], [4, side], [6, side]), scaled([1, 1], [2, side], [5, side], [7, side])],
}

/** Two channels: mono is doubled, 5.1 and 7.1 are downmixed, any other layout becomes its mean, doubled. */
export function toStereo(waveform: Waveform): Waveform {
  const { channels, sampleRate } = waveform
  if (channels.length === 2) return waveform
  const blends = surround[channels.length]
  if (blends) return { sampleRate, channels: blends.map((weights) => blend(waveform, weights)) }
  const middle = blend(
    waveform,
    channels.map((_, channel) => [channel, 1 / channels.length] as const),
  )
  return { sampleRate, channels: [middle, middle.slice()] }
}

function blend(waveform: Waveform, weights: Blend): Float32Array {
  const samples = sampleCount(waveform)
  const sum = new Float64Array(samples)
  for (const [channel, weight] of weights) {
    const source = waveform.channels[channel] as Float32Array
    for (let i = 0; i < samples; i++) sum[i] = (sum[i] as number) + weight * (source[i] as number)
  }
  return Float32Array.from(sum)
}

/** Weights divided by their sum, so that the loudest possible blend still fits into ±1. */
function scaled(...weights: [channel: number, weight: number][]): Blend {
  const sum = weights.reduce((total, [, weight]) => total + weight, 0)
  return weights.map(([channel, weight]) => [channel, weight / sum] as const)
}

/** −1 dBFS: as loud as a clip may be and still leave room for the overshoot of resamplers and lossy coders. */
export const normalPeak = fromDbfs(-1)

/** Scales a clip, all channels by the same gain, so that its peak is −1 dBFS. A silent clip is left as it is. */
export function normalizePeak(waveform: Waveform): Waveform {
  const highest = peak(waveform)
  if (highest <= silenceCeiling) return waveform
  const gain = normalPeak / highest
  return { ...waveform, channels: waveform.channels.map((channel) => channel.map((sample) => sample * gain)) }
}
