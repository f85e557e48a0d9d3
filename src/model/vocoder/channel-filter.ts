/** One filter per channel, none across channels. */
import * as tf from '@tensorflow/tfjs'
import { inPieces } from './pieces.ts'

/** `[1, taps, C, outputs per channel]`. */
export type ChannelFilter = tf.Tensor4D

/** The same taps for every channel, `[taps, outputs per channel]` row by row. Its owner disposes of it. */
export const channelFilter = (values: ArrayLike<number>, taps: number, channels: number): ChannelFilter =>
  tf.tidy(() => {
    const single = tf.tensor4d(Float32Array.from(values), [1, taps, 1, values.length / taps])
    return tf.keep(tf.tile(single, [1, 1, channels, 1]))
  })

/** Over a signal that has its edges already: `[B, N + taps − 1, C] → [B, N / stride, C · outputs]`. */
export const filterChannels = (filter: ChannelFilter, x: tf.Tensor3D, stride = 1): tf.Tensor3D =>
  inPieces(
    x,
    filter.shape[1] - 1,
    (piece) => tf.squeeze(tf.depthwiseConv2d(tf.expandDims<tf.Tensor4D>(piece, 1), filter, stride, 'valid'), [1]),
    stride,
  )
