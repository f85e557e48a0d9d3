import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { capture } from '../../src/engine/capture.ts'
import { nativeBackend } from '../../src/engine/native.ts'
import { hasNative } from './native.ts'

/** Steps of gradient descent on w·x → 1, in a function that looks at no value. */
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

/** Tensors in TensorFlow itself, whether TensorFlow.js knows of them or not. */
const heldByTensorFlow = () => (nativeBackend().binding as unknown as { getNumOfTensors(): number }).getNumOfTensors()

describe.skipIf(!hasNative)('a captured function on native TensorFlow', () => {
  beforeAll(async () => {
    await startBackend('tensorflow')
  })

  it('gives what it gives op by op, call after call', () => {
    const [captured, plain] = [fresh(), fresh()]
    const replay = capture(descent(captured), { variables: [captured] })
    const run = descent(plain)
    for (let step = 0; step < 3; step++) {
      const [ours, theirs] = [replay.run(example()).loss, run(example()).loss]
      expect(numbers(ours)[0]).toBeCloseTo(numbers(theirs)[0] as number, 6)
    }
    numbers(captured).forEach((value, i) => {
      expect(value).toBeCloseTo(numbers(plain)[i] as number, 6)
    })
    expect(numbers(captured)).not.toEqual([1, 1, 1, 1])
    replay.dispose()
  })

  it('runs the function itself once for each set of shapes', () => {
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

  it('keeps as many sets of shapes as it may, the latest', () => {
    let runs = 0
    const sum = capture(
      ({ x }: { x: tf.Tensor }) => {
        runs++
        return { y: tf.sum(x) }
      },
      { kept: 2 },
    )
    for (const length of [1, 2, 1, 3, 1, 2]) sum.run({ x: tf.ones([length]) })
    expect(runs).toBe(4)
    sum.dispose()
  })

  it('shares its variables with functions captured beside it, whichever runs', () => {
    const w = fresh()
    const replay = capture(descent(w), { variables: [w] })
    const look = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.mul(x, w) }), { variables: [w] })
    for (let step = 0; step < 2; step++) {
      replay.run(example())
      expect(numbers(look.run({ x: tf.scalar(1) }).y)).toEqual(numbers(w))
    }
    replay.dispose()
    look.dispose()
  })

  it('takes up what is assigned to a variable between its calls', () => {
    const w = fresh()
    const replay = capture(descent(w), { variables: [w] })
    const first = numbers(replay.run(example()).loss)
    replay.run(example())
    w.assign(tf.ones([4]))
    expect(numbers(replay.run(example()).loss)).toEqual(first)
    replay.dispose()
  })

  it('leaves a copy of a variable as it was', () => {
    const w = fresh()
    const before = tf.clone(w)
    const replay = capture(descent(w), { variables: [w] })
    replay.run(example())
    expect(numbers(before)).toEqual([1, 1, 1, 1])
    expect(numbers(w)).not.toEqual([1, 1, 1, 1])
    replay.dispose()
  })

  it('leaves the variables their last values when it is disposed of', () => {
    const w = fresh()
    const replay = capture(descent(w), { variables: [w] })
    replay.run(example())
    const last = numbers(w)
    replay.run(example())
    replay.dispose()
    expect(numbers(w)).not.toEqual(last)
  })

  it('rests without the variables, and goes on where others left them', () => {
    const w = fresh()
    const x = tf.scalar(2)
    const look = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.mul(x, w) }), { variables: [w] })
    look.rest() // before anything was captured
    expect(numbers(look.run({ x }).y)).toEqual([2, 2, 2, 2])
    look.rest()
    look.rest()
    expect(numbers(w)).toEqual([1, 1, 1, 1])
    expect(numbers(look.run({ x }).y)).toEqual([2, 2, 2, 2])
    look.rest()
    w.assign(tf.fill([4], 3))
    expect(numbers(look.run({ x }).y)).toEqual([6, 6, 6, 6])
    look.dispose()
    expect(numbers(w)).toEqual([3, 3, 3, 3])
  })

  it('refuses a function that looks at values', () => {
    const look = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.scalar(x.dataSync()[0] as number) }))
    expect(() => look.run({ x: tf.scalar(1) })).toThrow(/may not look at values/)
    expect(numbers(tf.add(1, 1))).toEqual([2]) // and the backend is as it was
  })

  it('leaves no tensor behind', () => {
    const w = fresh()
    const inputs = example()
    nativeBackend().getInputTensorIds([w, ...Object.values(inputs)]) // values no longer wait in JavaScript
    const before = [tf.memory().numTensors, heldByTensorFlow()]
    const replay = capture(descent(w), { variables: [w] })
    for (let step = 0; step < 3; step++) tf.dispose(replay.run(inputs))
    numbers(w)
    for (let step = 0; step < 3; step++) tf.dispose(replay.run(inputs))
    replay.rest()
    tf.dispose(replay.run(inputs))
    replay.dispose()
    expect([tf.memory().numTensors, heldByTensorFlow()]).toEqual(before)
  })
})

describe('a captured function elsewhere', () => {
  it('simply runs', async () => {
    await startBackend('wasm')
    const w = fresh()
    const run = capture(descent(w), { variables: [w] })
    const [first] = numbers(run.run(example()).loss)
    const [second] = numbers(run.run(example()).loss)
    expect(second).toBeLessThan(first as number)
  })
})
