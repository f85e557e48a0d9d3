import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { inChunks } from '../../src/engine/chunks.ts'
import { normals, randomFor } from '../../src/platform/random.ts'

const reach = 10
const kernel = () => tf.tensor3d(normals(randomFor(1, 'kernel'), (reach + 1) * 2 * 3), [reach + 1, 2, 3])
const signal = (batch: number, length: number) =>
  tf.tensor3d(normals(randomFor(1, 'signal', length), batch * length * 2), [batch, length, 2])

describe('a filter applied in chunks', () => {
  beforeAll(() => startBackend('wasm'))
  afterAll(() => startBackend('auto'))

  it.each([
    { batch: 1, length: 4096, stride: 1 },
    { batch: 2, length: 6145, stride: 1 },
    { batch: 3, length: 8190, stride: 2 },
    { batch: 1, length: 12_287, stride: 2 },
  ])('equals the filter of the whole signal: $batch × $length samples, stride $stride', ({ batch, length, stride }) => {
    tf.tidy(() => {
      const [x, w] = [signal(batch, length + reach), kernel()]
      const chunkLengths: number[] = []
      const filter = (y: tf.Tensor3D) => {
        chunkLengths.push(y.shape[1])
        return tf.conv1d(y, w, stride, 'valid')
      }
      const chunked = inChunks(x, reach, filter, stride)
      const whole = tf.conv1d(x, w, stride, 'valid')
      expect(Math.max(...chunkLengths)).toBeLessThan(length)
      expect(chunked.shape).toEqual(whole.shape)
      expect(tf.max(tf.abs(tf.sub(chunked, whole))).dataSync()[0]).toBeLessThan(1e-5)
    })
  })

  it('does not split a short signal', () => {
    tf.tidy(() => {
      let chunkLength = 0
      inChunks(signal(1, 500), reach, (x) => {
        chunkLength = x.shape[1]
        return x
      })
      expect(chunkLength).toBe(500)
    })
  })
})
