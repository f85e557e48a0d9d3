/** Filters that raise the sample rate of each channel: the anti-aliasing ×2 and the resampler's ×3 (spec §4.1, §4.3). */
import * as tf from '@tensorflow/tfjs'
import { type ChannelFilter, channelFilter, filterChannels } from './channel-filter.ts'
import { heldEdges } from './edges.ts'
import { polyphase } from './polyphase.ts'

/** The filter's outputs per channel are the new samples in place of each old one. */
export type Interpolator = { filter: ChannelFilter; rate: number; before: number; after: number }

export type Interpolation = { rate: number; padding: number; channels: number }

/** @param filter taps at the higher rate, the same for all channels, summing to 1. */
export function interpolator(filter: Float32Array, { rate, padding, channels }: Interpolation): Interpolator {
  const { before, after, taps } = polyphase({ taps: filter.length, rate, padding })
  const values = taps.map((tap) => rate * (filter[tap] ?? 0)) // times rate, for the zeros that stand between samples
  return { filter: channelFilter(values, before + 1 + after, channels), rate, before, after }
}

/** `[B, N, C] → [B, rate · N, C]`. Beyond its ends the signal stays at its first and last value. */
export function interpolate({ filter, rate, before, after }: Interpolator, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  return tf.tidy(() => {
    const phases = filterChannels(filter, heldEdges(x, before, after))
    const apart = tf.reshape(phases, [batch, length, channels, rate])
    return tf.reshape(tf.transpose(apart, [0, 1, 3, 2]), [batch, length * rate, channels])
  })
}
