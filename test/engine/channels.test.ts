import * as tf from '@tensorflow/tfjs'
import { describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { addChannels, multiplyChannels } from '../../src/engine/channels.ts'

const signal = (batch: number, length: number, channels: number) =>
  tf.tensor3d(
    Array.from({ length: batch * length * channels }, (_, i) => Math.sin(i)),
    [batch, length, channels],
  )

describe.each(['wasm', 'cpu'] as const)('one number per channel on %s', (backend) => {
  it.each([
    [1, 4096, 1],
    [2, 1500, 2],
    [1, 1009, 3], // a prime number of samples
    [3, 7, 5],
    [1, 12, 300], // more channels than a row has
  ])('is applied to each sample of a signal of %i × %i × %i', async (batch, length, channels) => {
    await startBackend(backend)
    const x = signal(batch, length, channels)
    const numbers = tf.tensor1d(Array.from({ length: channels }, (_, i) => i + 0.5))
    expect(multiplyChannels(x, numbers).shape).toEqual(x.shape)
    expect(multiplyChannels(x, numbers).dataSync()).toEqual(tf.mul(x, numbers).dataSync())
    expect(addChannels(x, numbers).dataSync()).toEqual(tf.add(x, numbers).dataSync())
  })
})
