/** Padding and chunks of signals `[B, N, C]`. */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from './backend.ts'

/** Pads with zeros, `[B, N, C] → [B, before + N + after, C]`, by concatenation: the WebAssembly backend pads sample by sample, which is slow. */
export function zeroPad(x: tf.Tensor3D, before: number, after: number): tf.Tensor3D {
  const [batch, , channels] = x.shape
  const zeros = (length: number) => (length > 0 ? [tf.zeros<tf.Rank.R3>([batch, length, channels])] : [])
  return before + after === 0 ? x : tf.tidy(() => tf.concat([...zeros(before), x, ...zeros(after)], 1))
}

/** Repeats the first and the last sample: `[B, N, C] → [B, before + N + after, C]`. */
export function replicatePad(x: tf.Tensor3D, before: number, after: number): tf.Tensor3D {
  const repeated = (sample: number, times: number) => tf.gather(x, Array<number>(times).fill(sample), 1)
  return tf.tidy(() => tf.concat([repeated(0, before), x, repeated(x.shape[1] - 1, after)], 1))
}

/** Chunks have about so many samples: a multiple of the stride, and at least the reach. */
const chunkLength = 2048

/**
 * Runs a filter over a long signal in chunks, `[B, N + reach, C] → [B, N / stride, C']`. The WebAssembly backend keeps a table of pointers for each
 * filter, signal length × taps long, as long as the filter lives: gigabytes for ten seconds of sound. The items of a batch share one table, so the
 * signal is filtered as a batch of chunks, each with the `reach` samples that follow it. Other backends filter the whole signal at once.
 * @param x is already padded.
 * @param reach the number of samples by which a filter of stride 1 shortens a signal.
 */
export function inChunks(
  x: tf.Tensor3D,
  reach: number,
  filter: (x: tf.Tensor3D) => tf.Tensor3D,
  stride = 1,
): tf.Tensor3D {
  const length = x.shape[1] - reach
  const chunk = Math.ceil(Math.max(chunkLength, reach) / stride) * stride
  if (currentBackend() !== 'wasm' || length < 2 * chunk) return filter(x)
  return tf.tidy(() => joinChunks(filter(splitIntoChunks(x, chunk, reach)), x.shape[0], Math.ceil(length / stride)))
}

/**
 * `[B, N + reach, C] → [B · chunks, chunk + reach, C]`. The last chunk of a signal is followed by unrelated samples; `joinChunks` drops what
 * is computed from them. Samples are selected with `gather`, because the backend's `slice` copies its whole input.
 */
function splitIntoChunks(x: tf.Tensor3D, chunk: number, reach: number): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const chunks = Math.ceil(length / chunk)
  const padded = zeroPad(x, 0, chunks * chunk - length)
  const bodies = tf.reshape<tf.Rank.R3>(padded, [batch * chunks, chunk, channels])
  const heads = tf.gather(bodies, range(0, reach), 1)
  const nextHeads = tf.gather(heads, [...range(1, batch * chunks), 0])
  return tf.concat([bodies, nextHeads], 1)
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** `[B · chunks, n, C] → [B, length, C]`. */
function joinChunks(chunks: tf.Tensor3D, batch: number, length: number): tf.Tensor3D {
  const joined = tf.reshape(chunks, [batch, -1, chunks.shape[2]]) as tf.Tensor3D
  return tf.slice(joined, [0, 0, 0], [-1, length, -1])
}
