/** Convolutions over time in the vocoder (reference §4.1): plain, dilated and depthwise, each with as many samples out as in at stride 1. */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from '../../engine/backend.ts'
import { addChannels } from '../../engine/channels.ts'
import { conv1d } from '../../engine/convolution.ts'
import { isNative } from '../../engine/native.ts'
import type { Weights } from '../weights.ts'

/** The kernel is `[taps, in, out]`. */
export type Convolution = { kernel: tf.Tensor3D; bias?: tf.Tensor1D; dilation: number }

/** Sizes that are left out are taken from the checkpoint. */
export type ConvolutionSize = { inputs?: number; outputs?: number; taps?: number; dilation?: number; bias?: boolean }

/** The checkpoint stores the kernel as `[out, in, taps]`. */
export function loadConvolution(weights: Weights, size: ConvolutionSize): Convolution {
  const { inputs = null, outputs = null, taps = null, dilation = 1, bias = true } = size
  const values = weights.float32('weight', [outputs, inputs, taps])
  const shape = weights.shape('weight') as [number, number, number]
  return tf.tidy(() => ({
    kernel: tf.keep(tf.transpose(tf.tensor3d(values, shape), [2, 1, 0])),
    ...(bias && { bias: tf.keep(tf.tensor1d(weights.float32('bias', [shape[0]]))) }),
    dilation,
  }))
}

/** `[B, N, in] → [B, N, out]`, with zeros beyond both ends. */
export const convolve = ({ kernel, bias, dilation }: Convolution, x: tf.Tensor3D): tf.Tensor3D =>
  tf.tidy(() => {
    const reach = (kernel.shape[0] - 1) * dilation
    const padded = zeroPad(x, reach / 2, reach / 2)
    const y =
      dilation > 1 && isNative()
        ? convolveDilated(padded, dilation, (phases) => conv1d(phases, kernel))
        : inChunks(padded, reach, (chunk) => conv1d(chunk, kernel, 1, dilation))
    return bias ? addChannels(y, bias) : y
  })

/**
 * A filter of dilation d as a plain filter over each of the d phases of the signal: `[B, N + reach, C] → [B, N, C']`. TensorFlow.js has gradients
 * for plain convolutions only.
 */
function convolveDilated(x: tf.Tensor3D, d: number, filter: (phases: tf.Tensor3D) => tf.Tensor3D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const rows = Math.ceil(length / d)
  const whole = tf.reshape(zeroPad(x, 0, rows * d - length), [batch, rows, d, channels])
  const phases = tf.reshape<tf.Rank.R3>(tf.transpose(whole, [0, 2, 1, 3]), [batch * d, rows, channels])
  const filtered = filter(phases)
  const [, filteredRows, outputs] = filtered.shape
  const interleaved = tf.transpose(tf.reshape(filtered, [batch, d, filteredRows, outputs]), [0, 2, 1, 3])
  return tf.slice(
    tf.reshape<tf.Rank.R3>(interleaved, [batch, filteredRows * d, outputs]),
    [0, 0, 0],
    [batch, length - (rows - filteredRows) * d, outputs],
  )
}

/** One filter per channel, `[1, taps, C, outputs per channel]`. */
export type DepthwiseFilter = tf.Tensor4D

/** @param values the taps of every channel, row-major `[taps, outputs per channel]`. The caller disposes of the filter. */
export const depthwiseFilter = (values: ArrayLike<number>, taps: number, channels: number): DepthwiseFilter =>
  tf.tidy(() => {
    const single = tf.tensor4d(Float32Array.from(values), [1, taps, 1, values.length / taps])
    return tf.keep(tf.tile(single, [1, 1, channels, 1]))
  })

/** For a signal that is already padded: `[B, N + taps − 1, C] → [B, N / stride, C · outputs]`. */
export const depthwiseConvolve = (filter: DepthwiseFilter, x: tf.Tensor3D, stride = 1): tf.Tensor3D =>
  inChunks(
    x,
    filter.shape[1] - 1,
    (chunk) => tf.squeeze(tf.depthwiseConv2d(tf.expandDims<tf.Tensor4D>(chunk, 1), filter, stride, 'valid'), [1]),
    stride,
  )

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
  if (currentBackend() !== 'wasm' || length < 2 * chunkLength) return filter(x)
  return tf.tidy(() => joinChunks(filter(splitIntoChunks(x, reach)), x.shape[0], Math.ceil(length / stride)))
}

/**
 * `[B, N + reach, C] → [B · chunks, chunkLength + reach, C]`. The last chunk of a signal is followed by unrelated samples; `joinChunks` drops what
 * is computed from them. Samples are selected with `gather`, because the backend's `slice` copies its whole input.
 */
function splitIntoChunks(x: tf.Tensor3D, reach: number): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const chunks = Math.ceil(length / chunkLength)
  const padded = zeroPad(x, 0, chunks * chunkLength - length)
  const bodies = tf.reshape<tf.Rank.R3>(padded, [batch * chunks, chunkLength, channels])
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
