/**
 * The anti-aliased activation of the vocoder (reference §4.1). SnakeBeta creates overtones, so it runs at twice the sample rate, between an upsampling
 * and a downsampling low-pass filter. The taps of both filters come from the checkpoint: storage as bfloat16 has rounded them, so computing them
 * would give other values.
 */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from '../../engine/backend.ts'
import type { Weights } from '../weights.ts'
import { type DepthwiseFilter, depthwiseConvolve, depthwiseFilter, replicatePad } from './convolution.ts'
import { createUpsampler, type Upsampler, upsample } from './resampling.ts'

export type Activation = { up: Upsampler; snake: Snake; down: DepthwiseFilter }

export function loadActivation(weights: Weights, channels: number): Activation {
  const up = weights.float32('upsample.filter', [1, 1, null])
  const down = weights.float32('downsample.lowpass.filter', [1, 1, null])
  return {
    up: createUpsampler(up, { rate: 2, padding: (up.length - 2) / 2, channels }),
    snake: loadSnake(weights.at('act'), channels),
    down: depthwiseFilter(down, down.length, channels),
  }
}

/** `[B, N, C] → [B, N, C]`. */
export const activate = (layer: Activation, x: tf.Tensor3D): tf.Tensor3D =>
  tf.tidy(() => downsample(layer.down, snake(layer.snake, upsample(layer.up, x))))

/** Every second sample of the low-passed signal: `[B, 2N, C] → [B, N, C]`. */
function downsample(filter: DepthwiseFilter, x: tf.Tensor3D): tf.Tensor3D {
  const half = filter.shape[1] / 2
  return depthwiseConvolve(filter, replicatePad(x, half - 1, half), 2)
}

/** SnakeBeta: x + gain · sin²(frequency · x), with one frequency and gain per channel. Both are `[C]`. */
export type Snake = { frequency: tf.Tensor1D; gain: tf.Tensor1D }

/** frequency = exp(alpha), gain = 1 / (exp(beta) + 1e-9). */
function loadSnake(weights: Weights, channels: number): Snake {
  const frequency = weights.float32('alpha', [channels]).map(Math.exp)
  const gain = weights.float32('beta', [channels]).map((beta) => 1 / (Math.exp(beta) + 1e-9))
  return { frequency: tf.keep(tf.tensor1d(frequency)), gain: tf.keep(tf.tensor1d(gain)) }
}

/** `[B, N, C] → [B, N, C]`. */
export const snake = ({ frequency, gain }: Snake, x: tf.Tensor3D): tf.Tensor3D =>
  tf.tidy(() => tf.add(x, tf.mul(sineSquared(tf.mul(x, frequency)), gain)))

/**
 * sin²(x). The sine of the WebAssembly backend takes 30 ns per element, which would be more than half of the vocoder's time. A polynomial takes 10 ns.
 */
export const sineSquared = <T extends tf.Tensor>(x: T): T =>
  tf.square(currentBackend() === 'wasm' ? sineByPolynomial(x) : tf.sin(x))

/** sin(π r) / r as a polynomial in r², minimax for |r| ≤ ½: the error of the sine is at most 4e-9. */
const coefficients = [3.14159258, -5.16770688, 2.55003138, -0.598045172, 0.0772201259]

/** ±sin(x): reducing x by whole multiples of π may change the sign, which does not matter for the square. */
const sineByPolynomial = <T extends tf.Tensor>(x: T): T =>
  tf.tidy(() => {
    const halfTurns = tf.mul<T>(x, 1 / Math.PI)
    const remainder = tf.sub<T>(halfTurns, tf.round(halfTurns))
    const square = tf.square(remainder)
    const [highest, ...lower] = coefficients.toReversed() as [number, ...number[]]
    const ratio = lower.reduce<tf.Tensor>((sum, c) => tf.add(tf.mul(sum, square), c), tf.scalar(highest))
    return tf.mul(remainder, ratio as T)
  })
