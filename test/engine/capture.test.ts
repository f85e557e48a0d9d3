import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { capture } from '../../src/engine/capture.ts'
import { nativeBackend } from '../../src/engine/native.ts'
import { needsNative } from '../needs.ts'
import { hasNative } from './native.ts'

/** A step of gradient descent as a function that does not read tensor values. */
function descent(w: tf.Variable) {
  return ({ x, rate }: { x: tf.Tensor; rate: tf.Tensor }) => {
    const { value, grads } = tf.variableGrads(
      () => tf.mean(tf.square(tf.sub(tf.softmax(tf.mul(x, w)), 1))) as tf.Scalar,
      [w],
    )
    w.assign(tf.sub(w, tf.mul(rate, grads[w.name] as tf.Tensor)))
    return { loss: value }
  }
}

const example = (columns = 4) =>
  ({ x: tf.range(0, 3 * columns).reshape([3, columns]), rate: tf.scalar(0.5) }) as { x: tf.Tensor; rate: tf.Tensor }

/** A variable of ones that shares its data with no other tensor. */
function fresh(columns = 4): tf.Variable {
  const ones = tf.ones([columns])
  const variable = tf.variable(ones)
  ones.dispose()
  return variable
}

const numbers = (tensor: tf.Tensor) => [...tensor.dataSync()]

/** The number of tensors in TensorFlow itself, including those that TensorFlow.js does not know of. */
const nativeTensorCount = () => (nativeBackend().binding as unknown as { getNumOfTensors(): number }).getNumOfTensors()

describe.skipIf(!hasNative)('a captured function on native TensorFlow', needsNative, () => {
  beforeAll(async () => {
    await startBackend('tensorflow')
  })

  it('computes the same as eager execution in repeated calls', () => {
    const [captured, plain] = [fresh(), fresh()]
    const replay = capture(descent(captured), { variables: [captured] })
    const run = descent(plain)
    for (let step = 0; step < 3; step++) {
      const [actual, expected] = [replay.run(example()).loss, run(example()).loss]
      expect(numbers(actual)[0]).toBeCloseTo(numbers(expected)[0] as number, 6)
    }
    numbers(captured).forEach((value, i) => {
      expect(value).toBeCloseTo(numbers(plain)[i] as number, 6)
    })
    expect(numbers(captured)).not.toEqual([1, 1, 1, 1])
    replay.dispose()
  })

  it('calls the function once per set of input shapes', () => {
    let runs = 0
    const sum = capture(({ x }: { x: tf.Tensor }) => {
      runs++
      return { y: tf.sum(x) }
    })
    const sums = [[3], [3], [2, 2], [3]].map((shape) => numbers(sum.run({ x: tf.ones(shape) }).y)[0])
    expect(sums).toEqual([3, 3, 4, 3])
    expect(runs).toBe(2)
    sum.dispose()
  })

  it('keeps the maxGraphs most recently used graphs', () => {
    let runs = 0
    const sum = capture(
      ({ x }: { x: tf.Tensor }) => {
        runs++
        return { y: tf.sum(x) }
      },
      { maxGraphs: 2 },
    )
    for (const length of [1, 2, 1, 3, 1, 2]) sum.run({ x: tf.ones([length]) })
    expect(runs).toBe(4)
    sum.dispose()
  })

  it('shares its variables with other captured functions', () => {
    const w = fresh()
    const replay = capture(descent(w), { variables: [w] })
    const multiply = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.mul(x, w) }), { variables: [w] })
    for (let step = 0; step < 2; step++) {
      replay.run(example())
      expect(numbers(multiply.run({ x: tf.scalar(1) }).y)).toEqual(numbers(w))
    }
    replay.dispose()
    multiply.dispose()
  })

  it('uses a value that is assigned to a variable between calls', () => {
    const w = fresh()
    const replay = capture(descent(w), { variables: [w] })
    const first = numbers(replay.run(example()).loss)
    replay.run(example())
    w.assign(tf.ones([4]))
    expect(numbers(replay.run(example()).loss)).toEqual(first)
    replay.dispose()
  })

  it('does not change a clone of a variable', () => {
    const w = fresh()
    const before = tf.clone(w)
    const replay = capture(descent(w), { variables: [w] })
    replay.run(example())
    expect(numbers(before)).toEqual([1, 1, 1, 1])
    expect(numbers(w)).not.toEqual([1, 1, 1, 1])
    replay.dispose()
  })

  it('writes the current values back to the variables on dispose', () => {
    const w = fresh()
    const replay = capture(descent(w), { variables: [w] })
    replay.run(example())
    const last = numbers(w)
    replay.run(example())
    replay.dispose()
    expect(numbers(w)).not.toEqual(last)
  })

  it('writes the values back to the variables on release, and uses their current values afterwards', () => {
    const w = fresh()
    const x = tf.scalar(2)
    const multiply = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.mul(x, w) }), { variables: [w] })
    multiply.release() // before anything was captured
    expect(numbers(multiply.run({ x }).y)).toEqual([2, 2, 2, 2])
    multiply.release()
    multiply.release()
    expect(numbers(w)).toEqual([1, 1, 1, 1])
    expect(numbers(multiply.run({ x }).y)).toEqual([2, 2, 2, 2])
    multiply.release()
    w.assign(tf.fill([4], 3))
    expect(numbers(multiply.run({ x }).y)).toEqual([6, 6, 6, 6])
    multiply.dispose()
    expect(numbers(w)).toEqual([3, 3, 3, 3])
  })

  it('refuses a function that reads tensor values', () => {
    const multiply = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.scalar(x.dataSync()[0] as number) }))
    expect(() => multiply.run({ x: tf.scalar(1) })).toThrow(/cannot read the values of tensors/)
    expect(numbers(tf.add(1, 1))).toEqual([2]) // the backend still works
  })

  it('leaks no tensors', () => {
    const w = fresh()
    const inputs = example()
    nativeBackend().getInputTensorIds([w, ...Object.values(inputs)]) // values no longer wait in JavaScript
    const before = [tf.memory().numTensors, nativeTensorCount()]
    const replay = capture(descent(w), { variables: [w] })
    for (let step = 0; step < 3; step++) tf.dispose(replay.run(inputs))
    numbers(w)
    for (let step = 0; step < 3; step++) tf.dispose(replay.run(inputs))
    replay.release()
    tf.dispose(replay.run(inputs))
    replay.dispose()
    expect([tf.memory().numTensors, nativeTensorCount()]).toEqual(before)
  })
})

describe('a captured function on other backends', () => {
  it('runs eagerly', async () => {
    await startBackend('wasm')
    const w = fresh()
    const run = capture(descent(w), { variables: [w] })
    const [first] = numbers(run.run(example()).loss)
    const [second] = numbers(run.run(example()).loss)
    expect(second).toBeLessThan(first as number)
  })
})
