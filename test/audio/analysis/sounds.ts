/** Synthetic performances for tests (notes of random pitch, length and loudness), and effects applied to them. */
import type { Waveform } from '../../../src/audio/waveform.ts'
import { randomFor } from '../../../src/platform/random.ts'

/** A mono performance. The same seed gives the same performance at any sample rate and `pitch`. */
export function performance(seed: number, { seconds = 3, sampleRate = 16_000, pitch = 1 } = {}): Waveform {
  const random = randomFor(seed, 'performance')
  const samples = new Float32Array(Math.round(seconds * sampleRate))
  for (let start = 0.05; start < seconds - 0.1; start += 0.08 + 0.3 * random.uniform()) {
    const [hertz, level, decay] = [
      150 * 8 ** random.uniform() * pitch,
      0.2 + 0.3 * random.uniform(),
      6 + 20 * random.uniform(),
    ]
    const partials = [1, 2, 3, 4.1, 5.3].map(
      (multiple) => [multiple, random.uniform() / multiple, random.uniform()] as const,
    )
    const from = Math.round(start * sampleRate)
    for (let i = from; i < samples.length; i++) {
      const time = (i - from) / sampleRate
      const voice = partials.reduce(
        (sum, [multiple, strength, phase]) =>
          sum + strength * Math.sin(2 * Math.PI * (hertz * multiple * time + phase)),
        0,
      )
      samples[i] = (samples[i] as number) + level * Math.min(1, time * 200) * Math.exp(-decay * time) * voice * 0.5
    }
  }
  return { sampleRate, channels: [samples] }
}

/** Delays by `seconds`, or advances if negative; the length is unchanged. */
export function delayed({ sampleRate, channels }: Waveform, seconds: number): Waveform {
  const lag = Math.round(seconds * sampleRate)
  return { sampleRate, channels: channels.map((channel) => channel.map((_, i) => channel[i - lag] ?? 0)) }
}

/** A radio effect: band-limited, distorted and noisy. */
export function radio({ sampleRate, channels }: Waveform, seed = 0): Waveform {
  const random = randomFor(seed, 'radio')
  const share = (hertz: number) => 1 - Math.exp((-2 * Math.PI * hertz) / sampleRate)
  const [low, high] = [share(1500), share(900)]
  return {
    sampleRate,
    channels: channels.map((channel) => {
      let [first, second, slow, slower] = [0, 0, 0, 0]
      return channel.map((sample) => {
        first += low * (sample - first)
        second += low * (first - second)
        slow += high * (second - slow)
        slower += high * (second - slow - slower)
        return 0.5 * Math.tanh(12 * (second - slow - slower)) + 0.01 * random.normal()
      })
    }),
  }
}

/** A room effect: adds decaying echoes. */
export function room({ sampleRate, channels }: Waveform): Waveform {
  const echoes = [0.011, 0.023, 0.031, 0.047, 0.071].map((seconds, i) => [
    Math.round(seconds * sampleRate),
    0.5 * 0.7 ** i,
  ])
  return {
    sampleRate,
    channels: channels.map((channel) =>
      channel.map((sample, i) =>
        echoes.reduce((sum, [lag = 0, gain = 0]) => sum + gain * (channel[i - lag] ?? 0), sample),
      ),
    ),
  }
}

export const louder = ({ sampleRate, channels }: Waveform, gain: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.map((sample) => sample * gain)),
})

export const noise = (seed: number, { seconds = 3, sampleRate = 16_000, level = 0.1, channels = 1 } = {}): Waveform => {
  const random = randomFor(seed, 'noise')
  const samples = () => Float32Array.from({ length: Math.round(seconds * sampleRate) }, () => level * random.normal())
  return { sampleRate, channels: Array.from({ length: channels }, samples) }
}
