/** The anti-aliased activation of the vocoder as one op, compared with the same computation of many. */
import * as tf from '@tensorflow/tfjs'
import { expect, it } from 'vitest'
import { fusedSnake } from '../../src/engine/fused-audio.ts'
import { activate, loadActivation } from '../../src/model/vocoder/generator.ts'
import type { Weights } from '../../src/model/weights.ts'
import { relativeError } from '../golden/golden.ts'
import { randomTensor } from '../model/gradients/layers.ts'

/** Computes without fused ops, which are not used where a gradient is computed. */
function composed<T extends tf.Tensor>(compute: () => T): T {
  let result: T | undefined
  tf.grad((x) => {
    result = tf.keep(compute())
    return tf.sum(x)
  })(tf.scalar(1)).dispose()
  return result as T
}

export function expectSame(compute: () => tf.Tensor, tolerance: number) {
  const [actual, expected] = [compute(), composed(compute)]
  expect(actual.shape).toEqual(expected.shape)
  expect(relativeError(actual.dataSync(), expected.dataSync()).max).toBeLessThan(tolerance)
}

/** Sums of hundreds of numbers in float32 differ by this much when they are added in another order. */
export const tolerance = 4e-6

/** Tests of the current backend. */
export function testFusedSnake() {
  it.each([
    [1, 1, 1],
    [1, 2, 24],
    [2, 5, 3],
    [1, 128, 64],
    [2, 129, 65],
    [1, 1000, 130],
  ])('an anti-aliased snake of %i × %i samples with %i channels', (batch, samples, channels) => {
    const layer = loadActivation(randomActivation(12), channels)
    const x = randomTensor<tf.Rank.R3>('x', [batch, samples, channels], 4)
    expectSame(() => activate(layer, x), tolerance)
  })

  it('an anti-aliased snake with other filters than those of the released models', () => {
    const layer = loadActivation(randomActivation(8), 5)
    const x = randomTensor<tf.Rank.R3>('x', [1, 40, 5])
    expectSame(() => activate(layer, x), 1e-9)
  })

  it('sin² is right for every size of number', () => {
    const one = (values: number[]) => tf.tensor1d(values)
    const passOn = {
      up: one([0, 0, 0, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 0]),
      down: one([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    }
    const values = [0, 1e-30, 1e-3, 0.5, -1.5, 3, Math.PI, 100, -1234.5, 9999]
    // every sample is alone in its clip, so that its neighbours are copies of it
    const x = tf.tensor3d(values, [values.length, 1, 1])
    const y = fusedSnake(x, { ...passOn, frequency: one([1]), gain: one([1]) }).dataSync()
    for (const [i, value] of x.dataSync().entries())
      expect(Math.abs((y[i] as number) - value - Math.sin(value) ** 2)).toBeLessThan(2e-6 + 1e-7 * Math.abs(value))
    const odd = tf.tensor3d([Number.NaN, Number.POSITIVE_INFINITY, 1e30], [3, 1, 1])
    const [nan, infinite, large] = fusedSnake(odd, { ...passOn, frequency: one([1]), gain: one([1]) }).dataSync()
    expect([nan, Number.isFinite(infinite)]).toEqual([Number.NaN, false])
    expect(large).toBeCloseTo(1e30, -25)
  })
}

/** The weights of an anti-aliased activation. @param taps of both filters. */
function randomActivation(taps: number): Weights {
  const weights: Pick<Weights, 'at' | 'float32'> = {
    at: (name) => ({ ...weights, float32: (inner, shape) => weights.float32(`${name}.${inner}`, shape) }) as Weights,
    float32: (name, shape) => {
      const count = name.endsWith('filter') ? taps : (shape[0] as number)
      return randomTensor(name, [count], name.endsWith('filter') ? 0.3 : 0.7).dataSync<'float32'>()
    },
  }
  return weights as Weights
}
