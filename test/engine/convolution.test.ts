import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { conv1d, conv2d } from '../../src/engine/convolution.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { hasNative } from './native.ts'

const random = <R extends tf.Rank>(name: string, shape: number[]) => {
  const count = shape.reduce((product, size) => product * size, 1)
  return tf.tensor(normals(randomFor(1, name), count), shape as never) as tf.Tensor<R>
}

const close = (ours: tf.Tensor, theirs: tf.Tensor) => {
  expect(ours.shape).toEqual(theirs.shape)
  expect(tf.max(tf.abs(tf.sub(ours, theirs))).dataSync()[0]).toBeLessThan(1e-4)
}

for (const backend of hasNative ? (['tensorflow', 'wasm'] as const) : (['wasm'] as const))
  describe(`a convolution on ${backend}`, () => {
    beforeAll(async () => {
      await startBackend(backend)
    })
    afterAll(() => tf.disposeVariables())

    it.each([1, 2])('over two axes is that of TensorFlow.js, stride %i', (stride) => {
      const [x, kernel] = [random<tf.Rank.R4>('x', [2, 9, 7, 3]), random<tf.Rank.R4>('kernel', [3, 3, 3, 5])]
      close(conv2d(x, kernel, stride), tf.conv2d(x, kernel, stride, 'valid'))
    })

    it.each([
      [1, 1],
      [3, 1],
      [1, 2],
    ])('over time too, stride %i, dilation %i', (stride, dilation) => {
      const [x, kernel] = [random<tf.Rank.R3>('x', [2, 23, 3]), random<tf.Rank.R3>('kernel', [4, 3, 5])]
      close(conv1d(x, kernel, stride, dilation), tf.conv1d(x, kernel, stride, 'valid', 'NWC', dilation))
    })

    it.skipIf(backend === 'wasm')('has the gradients of TensorFlow.js, which wasm lacks', () => {
      const inputs = [random<tf.Rank.R3>('x', [2, 23, 3]), random<tf.Rank.R3>('kernel', [4, 3, 5])]
      const loss = (convolve: typeof conv1d) => (x: tf.Tensor, kernel: tf.Tensor) =>
        tf.sum(tf.square(convolve(x as tf.Tensor3D, kernel as tf.Tensor3D)))
      const ours = tf.grads(loss(conv1d))(inputs)
      const theirs = tf.grads(loss((x, kernel) => tf.conv1d(x, kernel, 1, 'valid')))(inputs)
      ours.forEach((gradient, i) => {
        const scale = tf.max(tf.abs(theirs[i] as tf.Tensor))
        close(tf.div(gradient, scale), tf.div(theirs[i] as tf.Tensor, scale))
      })
    })
  })
