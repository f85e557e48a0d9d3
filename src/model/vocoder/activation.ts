/**
 * The anti-aliased activation (spec §4.1): SnakeBeta makes overtones, so it runs at twice the sample rate, between a low-pass on the way up and
 * another on the way down. Both are stored, and are not quite the textbook filters: at least bfloat16 has rounded them.
 */
import * as tf from '@tensorflow/tfjs'
import type { Weights } from '../../checkpoint/weights.ts'
import { type ChannelFilter, channelFilter, filterChannels } from './channel-filter.ts'
import { heldEdges } from './edges.ts'
import { type Interpolator, interpolate, interpolator } from './interpolation.ts'
import { loadSnake, type Snake, snake } from './snake.ts'

export type Activation = { up: Interpolator; snake: Snake; down: ChannelFilter }

export function loadActivation(weights: Weights, channels: number): Activation {
  const up = weights.float32('upsample.filter', [1, 1, null])
  const down = weights.float32('downsample.lowpass.filter', [1, 1, null])
  return {
    up: interpolator(up, { rate: 2, padding: (up.length - 2) / 2, channels }),
    snake: loadSnake(weights.at('act'), channels),
    down: channelFilter(down, down.length, channels),
  }
}

/** `[B, N, C] → [B, N, C]`. */
export const activate = (layer: Activation, x: tf.Tensor3D): tf.Tensor3D =>
  tf.tidy(() => halved(layer.down, snake(layer.snake, interpolate(layer.up, x))))

/** Every second sample of the low-passed signal: `[B, 2N, C] → [B, N, C]`. */
function halved(filter: ChannelFilter, x: tf.Tensor3D): tf.Tensor3D {
  const half = filter.shape[1] / 2
  return filterChannels(filter, heldEdges(x, half - 1, half), 2)
}
