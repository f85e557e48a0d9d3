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
