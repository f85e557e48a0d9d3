import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { fusedAudio, fusedSnake } from '../../src/engine/fused-audio.ts'
import { wasmSourceSha256 } from '../../src/engine/wasm-binary.ts'
import { testFusedSnake } from './fused-snake.ts'

const ones = (size: number) => tf.ones<tf.Rank.R1>([size])

/** A layer of one channel that does not change a constant signal. */
const passOn = () => {
  const filter = tf.mul<tf.Tensor1D>(ones(12), 1 / 12)
  return { up: filter, down: filter, frequency: ones(1), gain: tf.zeros<tf.Rank.R1>([1]) }
}

describe('the WebAssembly kernel of the anti-aliased activation', () => {
  beforeAll(() => startBackend('wasm'))

  it('was compiled from the source: run npm run build:wasm', () => {
    const source = readFileSync(new URL('../../wasm/anti-aliased-snake.ts', import.meta.url))
    expect(createHash('sha256').update(source).digest('hex')).toBe(wasmSourceSha256)
  })

  it('is used', () => expect(fusedAudio().snake).toBe(true))

  testFusedSnake()

  it('creates no tensor but its result', () => {
    const layer = [12, 12, 3, 3].map((size) => tf.ones<tf.Rank.R1>([size]))
    const [up, down, frequency, gain] = layer as [tf.Tensor1D, tf.Tensor1D, tf.Tensor1D, tf.Tensor1D]
    const x = tf.ones<tf.Rank.R3>([1, 50, 3])
    const before = tf.memory().numTensors
    const y = fusedSnake(x, { up, down, frequency, gain })
    expect(tf.memory().numTensors).toBe(before + 1)
    expect(fusedSnake(x, { up, down, frequency, gain }).dataSync()).toEqual(y.dataSync())
    tf.dispose([...layer, x, y])
  })

  it('refuses inputs of other shapes and data types, and leaves nothing behind', () => {
    const layer = { up: ones(12), down: ones(12), frequency: ones(3), gain: ones(3) }
    const x = tf.ones<tf.Rank.R3>([1, 8, 3])
    const wrong = [
      () => fusedSnake(tf.ones([1, 8, 3], 'int32'), layer),
      () => fusedSnake(tf.ones([1, 1, 8, 3]) as tf.Tensor as tf.Tensor3D, layer),
      () => fusedSnake(x, { ...layer, up: ones(2) }),
      () => fusedSnake(x, { ...layer, frequency: ones(1) }),
    ]
    const before = tf.memory().numDataBuffers
    for (const call of wrong) expect(() => tf.tidy(call)).toThrow('an input has an unexpected shape or data type')
    expect(tf.memory().numDataBuffers).toBe(before)
  })

  it('takes a large tensor of another backend', async () => {
    await startBackend('cpu')
    const x = tf.ones<tf.Rank.R3>([1, 6_000_000, 1])
    await startBackend('wasm')
    const y = fusedSnake(x, passOn())
    expect(tf.max(tf.abs(tf.sub(y, 1))).dataSync()[0]).toBeLessThan(1e-5)
    tf.dispose([x, y])
  })

  it('takes signals that need more memory than those before', () => {
    for (const samples of [10, 100_000, 1_000_000]) {
      const y = fusedSnake(tf.ones([1, samples, 1]), passOn())
      expect(tf.max(tf.abs(tf.sub(y, 1))).dataSync()[0]).toBeLessThan(1e-5)
      y.dispose()
    }
  })
})
