/** Arithmetic of signals `[B, L, C]` with one value per channel, `[C]`. Differentiable. */
import * as tf from '@tensorflow/tfjs'
import { currentBackend } from './backend.ts'

/** x · values. */
export const multiplyChannels = (x: tf.Tensor3D, values: tf.Tensor1D): tf.Tensor3D => byChannel(tf.mul, x, values)

/** x + values. */
export const addChannels = (x: tf.Tensor3D, values: tf.Tensor1D): tf.Tensor3D => byChannel(tf.add, x, values)

type Operation = (x: tf.Tensor, y: tf.Tensor) => tf.Tensor

/**
 * The kernels of the WebAssembly backend have an overhead for each row that a value is broadcast to, which dominates with few channels. Samples are
 * therefore grouped into rows of up to `maxRow` values, and the values of the channels are tiled.
 */
function byChannel(operation: Operation, x: tf.Tensor3D, values: tf.Tensor1D): tf.Tensor3D {
  const [batch, length, channels] = x.shape
  const samples = currentBackend() === 'wasm' ? samplesPerRow(batch * length, channels) : 1
  if (samples === 1) return operation(x, values) as tf.Tensor3D
  return tf.tidy(() => {
    const rows = tf.reshape(x, [-1, samples * channels])
    return tf.reshape(operation(rows, tf.tile(values, [samples])), x.shape)
  })
}

const maxRow = 256

/** The largest divisor of the number of samples that makes a row of at most `maxRow` numbers. */
function samplesPerRow(samples: number, channels: number): number {
  for (let divisor = Math.floor(maxRow / channels); divisor > 1; divisor--) if (samples % divisor === 0) return divisor
  return 1
}
