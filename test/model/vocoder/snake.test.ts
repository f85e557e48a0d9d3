import * as tf from '@tensorflow/tfjs'
import { afterAll, describe, expect, it } from 'vitest'
import { type BackendName, startBackend } from '../../../src/engine/backend.ts'
import { sineSquared, snake } from '../../../src/model/vocoder/generator.ts'

const backends: BackendName[] = ['wasm', 'cpu']

describe.each(backends)('on the %s backend', (backend) => {
  afterAll(() => startBackend('auto'))

  it('the squared sine is accurate over many periods', async () => {
    await startBackend(backend)
    const angles = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) / 80)
    const values = tf.tidy(() => sineSquared(tf.tensor1d(angles)).dataSync())
    const errors = angles.map((angle, i) => Math.abs((values[i] as number) - Math.sin(angle) ** 2))
    expect(Math.max(...errors)).toBeLessThan(4e-6) // float32 represents an angle of 25 with an error of 1e-6
  })

  it('snake applies the frequency and gain of each channel', async () => {
    await startBackend(backend)
    const values = tf.tidy(() => {
      const layer = { frequency: tf.tensor1d([1, 2]), gain: tf.tensor1d([3, 0.5]) }
      return snake(layer, tf.tensor3d([0.5, -0.25, 0, 1], [1, 2, 2])).dataSync()
    })
    const expected = [0.5 + 3 * Math.sin(0.5) ** 2, -0.25 + 0.5 * Math.sin(0.5) ** 2, 0, 1 + 0.5 * Math.sin(2) ** 2]
    expected.forEach((value, i) => {
      expect(values[i]).toBeCloseTo(value, 6)
    })
  })
})
