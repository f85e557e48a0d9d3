/** Signals `[B, N, C]` and one number per channel, `[C]`. Differentiable. */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from './backend.ts'

export const multiplyChannels = (x: tf.Tensor3D, numbers: tf.Tensor1D): tf.Tensor3D => byChannel(tf.mul, x, numbers)

export const addChannels = (x: tf.Tensor3D, numbers: tf.Tensor1D): tf.Tensor3D => byChannel(tf.add, x, numbers)

type Operation = (x: tf.Tensor, y: tf.Tensor) => tf.Tensor

/**
 * The WebAssembly backend starts its kernel anew for each sample of the signal, which takes 24 ns per number with two channels and 0.5 ns with a hundred.
 * So as many samples as divide the signal are one long row there, and the numbers are repeated.
 */
function byChannel(operation: Operation, x: tf.Tensor3D, numbers: tf.Tensor1D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const samples = currentBackend() === 'wasm' ? samplesPerRow(batch * length, channels) : 1
  if (samples === 1) return operation(x, numbers) as tf.Tensor3D
  return tf.tidy(() => {
    const rows = tf.reshape(x, [-1, samples * channels])
    return tf.reshape(operation(rows, tf.tile(numbers, [samples])), x.shape)
  })
}

const maxRow = 256

/** The largest divisor of the number of samples that makes a row of at most `maxRow` numbers. */
function samplesPerRow(samples: number, channels: number): number {
  for (let divisor = Math.floor(maxRow / channels); divisor > 1; divisor--) if (samples % divisor === 0) return divisor
  return 1
}
