/** One filter per channel, none across channels. */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from '../../engine/backend.ts'

/** `[1, taps, C, outputs per channel]`. */
export type DepthwiseFilter = tf.Tensor4D

/** The same taps for every channel, `[taps, outputs per channel]` row by row. Its owner disposes of it. */
export const depthwiseFilter = (values: ArrayLike<number>, taps: number, channels: number): DepthwiseFilter =>
  tf.tidy(() => {
    const single = tf.tensor4d(Float32Array.from(values), [1, taps, 1, values.length / taps])
    return tf.keep(tf.tile(single, [1, 1, channels, 1]))
  })

/** Over a signal that has its edges already: `[B, N + taps − 1, C] → [B, N / stride, C · outputs]`. */
export const depthwiseConvolve = (filter: DepthwiseFilter, x: tf.Tensor3D, stride = 1): tf.Tensor3D =>
  inChunks(
    x,
    filter.shape[1] - 1,
    (piece) => tf.squeeze(tf.depthwiseConv2d(tf.expandDims<tf.Tensor4D>(piece, 1), filter, stride, 'valid'), [1]),
    stride,
  )

/** What lies before the first and after the last sample of a signal, where a filter looks beyond it. */

/** Silence: `[B, N, C] → [B, before + N + after, C]`. By joining, because the WebAssembly backend pads one sample at a time. */
export function zeroPad(x: tf.Tensor3D, before: number, after: number): tf.Tensor3D {
  const [batch, , channels] = x.shape
  const silence = (length: number) => (length > 0 ? [tf.zeros<tf.Rank.R3>([batch, length, channels])] : [])
  return before + after === 0 ? x : tf.tidy(() => tf.concat([...silence(before), x, ...silence(after)], 1))
}

/** The first and the last sample, held: `[B, N, C] → [B, before + N + after, C]`. */
export function replicatePad(x: tf.Tensor3D, before: number, after: number): tf.Tensor3D {
  const held = (at: number, times: number) => tf.gather(x, Array<number>(times).fill(at), 1)
  return tf.tidy(() => tf.concat([held(0, before), x, held(x.shape[1] - 1, after)], 1))
}

/**
 * Filters over long signals, in pieces. The WebAssembly backend keeps, for every filter it has ever run and as long as that filter lives, a table
 * of pointers as long as the signal times the taps: gigabytes for ten seconds of sound. A batch shares one table, so there a long signal is
 * filtered as a batch of short ones, each with the samples that follow it as far as the filter reaches. Samples are picked with `gather`: that
 * backend's `slice` copies its whole input.
 */

const chunkLength = 2048

type Filter = (x: tf.Tensor3D) => tf.Tensor3D

/**
 * `filter` over a signal that has its edges already: `[B, N + reach, C] → [B, N / stride, C']`.
 * @param reach how many more samples the filter takes in than it gives out, before its stride.
 */
export function inChunks(x: tf.Tensor3D, reach: number, filter: Filter, stride = 1): tf.Tensor3D {
  const length = x.shape[1] - reach
  if (currentBackend() !== 'wasm' || length < 2 * chunkLength) return filter(x)
  return tf.tidy(() => joinChunks(filter(splitIntoChunks(x, reach)), x.shape[0], Math.ceil(length / stride)))
}

/**
 * `[B, N + reach, C] → [B · pieces, pieceLength + reach, C]`. The last piece of a signal is followed by what does not belong to it, which nothing
 * hears: the signal ends before.
 */
function splitIntoChunks(x: tf.Tensor3D, reach: number): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const pieces = Math.ceil(length / chunkLength)
  const filled = zeroPad(x, 0, pieces * chunkLength - length)
  const own = tf.reshape<tf.Rank.R3>(filled, [batch * pieces, chunkLength, channels])
  const heads = tf.gather(own, range(0, reach), 1)
  const following = tf.gather(heads, [...range(1, batch * pieces), 0])
  return tf.concat([own, following], 1)
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** `[B · pieces, n, C] → [B, length, C]`. */
function joinChunks(pieces: tf.Tensor3D, batch: number, length: number): tf.Tensor3D {
  const whole = tf.reshape(pieces, [batch, -1, pieces.shape[2]]) as tf.Tensor3D
  return tf.slice(whole, [0, 0, 0], [-1, length, -1])
}
