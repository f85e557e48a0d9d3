/**
 * Any channel layout to stereo. The weights are those LTX-2's dataset preprocessing uses, in the channel order of wav files and
 * ffmpeg: L R C LFE Ls Rs for 5.1, L R C LFE Lb Rb Ls Rs for 7.1. The low-frequency channel is left out.
 */
import { sampleCount, type Waveform } from './waveform.ts'

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
