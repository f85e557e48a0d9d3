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

const expectClose = (actual: tf.Tensor, expected: tf.Tensor) => {
  expect(actual.shape).toEqual(expected.shape)
  expect(tf.max(tf.abs(tf.sub(actual, expected))).dataSync()[0]).toBeLessThan(1e-4)
}

for (const backend of hasNative ? (['tensorflow', 'wasm'] as const) : (['wasm'] as const))
  describe(`a convolution on ${backend}`, () => {
    beforeAll(async () => {
      await startBackend(backend)
    })
    afterAll(() => tf.disposeVariables())

    it.each([1, 2])('over two axes equals tf.conv2d with stride %i', (stride) => {
      const [x, kernel] = [random<tf.Rank.R4>('x', [2, 9, 7, 3]), random<tf.Rank.R4>('kernel', [3, 3, 3, 5])]
      expectClose(conv2d(x, kernel, { stride }), tf.conv2d(x, kernel, stride, 'valid'))
    })

    it.each([
      [1, 1],
      [3, 1],
      [1, 2],
    ])('over time equals tf.conv1d with stride %i and dilation %i', (stride, dilation) => {
      const [x, kernel] = [random<tf.Rank.R3>('x', [2, 23, 3]), random<tf.Rank.R3>('kernel', [4, 3, 5])]
      expectClose(conv1d(x, kernel, { stride, dilation }), tf.conv1d(x, kernel, stride, 'valid', 'NWC', dilation))
    })

    it.each([
      { samples: 8000, taps: 512, stride: 80 },
      { samples: 12_345, taps: 4, stride: 3 },
      { samples: 8000, taps: 3000, stride: 1 },
    ])('over $samples samples with $taps taps and stride $stride', ({ samples, taps, stride }) => {
      const [x, kernel] = [random<tf.Rank.R3>('x', [1, samples, 1]), random<tf.Rank.R3>('kernel', [taps, 1, 2])]
      const padding = [taps - stride, 0] as const
      const padded = tf.pad(x, [[0, 0], [...padding], [0, 0]])
      const y = conv1d(x, kernel, { padding, stride })
      const expected = tf.conv1d(padded, kernel, stride, 'valid')
      expect(y.shape).toEqual(expected.shape)
      expectClose(tf.div(y, Math.sqrt(taps)), tf.div(expected, Math.sqrt(taps)))
    })

    if (backend === 'wasm') return // it has no gradients to compare with
    it('has the gradients of TensorFlow.js', () => {
      const inputs = [random<tf.Rank.R3>('x', [2, 23, 3]), random<tf.Rank.R3>('kernel', [4, 3, 5])]
      const loss = (convolve: typeof conv1d) => (x: tf.Tensor, kernel: tf.Tensor) =>
        tf.sum(tf.square(convolve(x as tf.Tensor3D, kernel as tf.Tensor3D)))
      const actual = tf.grads(loss(conv1d))(inputs)
      const expected = tf.grads(loss((x, kernel) => tf.conv1d(x, kernel, 1, 'valid')))(inputs)
      actual.forEach((gradient, i) => {
        const scale = tf.max(tf.abs(expected[i] as tf.Tensor))
        expectClose(tf.div(gradient, scale), tf.div(expected[i] as tf.Tensor, scale))
      })
    })
  })
