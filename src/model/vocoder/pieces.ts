/**
 * Filters over long signals, in pieces. The WebAssembly backend keeps, for every filter it has ever run and as long as that filter lives, a table
 * of pointers as long as the signal times the taps: gigabytes for ten seconds of sound. A batch shares one table, so there a long signal is
 * filtered as a batch of short ones, each with the samples that follow it as far as the filter reaches. Samples are picked with `gather`: that
 * backend's `slice` copies its whole input.
 */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from '../../engine/backend.ts'
import { silentEdges } from './edges.ts'

const pieceLength = 2048

type Filter = (x: tf.Tensor3D) => tf.Tensor3D

/**
 * `filter` over a signal that has its edges already: `[B, N + reach, C] → [B, N / stride, C']`.
 * @param reach how many more samples the filter takes in than it gives out, before its stride.
 */
export function inPieces(x: tf.Tensor3D, reach: number, filter: Filter, stride = 1): tf.Tensor3D {
  const length = x.shape[1] - reach
  if (currentBackend() !== 'wasm' || length < 2 * pieceLength) return filter(x)
  return tf.tidy(() => joined(filter(cut(x, reach)), x.shape[0], Math.ceil(length / stride)))
}

/**
 * `[B, N + reach, C] → [B · pieces, pieceLength + reach, C]`. The last piece of a signal is followed by what does not belong to it, which nothing
 * hears: the signal ends before.
 */
function cut(x: tf.Tensor3D, reach: number): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const pieces = Math.ceil(length / pieceLength)
  const filled = silentEdges(x, 0, pieces * pieceLength - length)
  const own = tf.reshape<tf.Rank.R3>(filled, [batch * pieces, pieceLength, channels])
  const heads = tf.gather(own, range(0, reach), 1)
  const following = tf.gather(heads, [...range(1, batch * pieces), 0])
  return tf.concat([own, following], 1)
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** `[B · pieces, n, C] → [B, length, C]`. */
function joined(pieces: tf.Tensor3D, batch: number, length: number): tf.Tensor3D {
  const whole = tf.reshape(pieces, [batch, -1, pieces.shape[2]]) as tf.Tensor3D
  return tf.slice(whole, [0, 0, 0], [-1, length, -1])
}
