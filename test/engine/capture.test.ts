import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { capture, capturesGraphs } from '../../src/engine/capture.ts'
import { graphFunction } from '../../src/engine/graph-function.ts'
import { copyBinding, nativeBackend, typeAttribute, upload } from '../../src/engine/native.ts'
import { currentRecording } from '../../src/engine/recording.ts'
import { needsNative } from '../needs.ts'
import { hasNative } from './native.ts'
import { nativeTensorCount, observeBinding } from './observed-binding.ts'

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

/** Whether TensorFlow has a value for the variable of this name. */
function holdsVariable(name: string): boolean {
  const { binding } = nativeBackend()
  const attributes = [
    typeAttribute('dtype', 'float32'),
    { name: 'shape', type: binding.TF_ATTR_SHAPE, value: [4] },
    { name: 'shared_name', type: binding.TF_ATTR_STRING, value: name },
  ]
  const [handle] = binding.executeOp('VarHandleOp', attributes, [], 1).map(({ id }) => id) as [number]
  const [has] = binding.executeOp('VarIsInitializedOp', [], [handle], 1).map(({ id }) => id) as [number]
  const value = binding.tensorDataSync(has)[0]
  for (const id of [handle, has]) binding.deleteTensor(id)
  return Boolean(value)
}

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

  it('does not change a clone that is made between calls', () => {
    const w = fresh()
    const replay = capture(descent(w), { variables: [w] })
    replay.run(example())
    const [clone, before] = [tf.clone(w), numbers(w)]
    replay.run(example())
    expect(numbers(clone)).toEqual(before)
    expect(numbers(w)).not.toEqual(before)
    w.assign(tf.ones([4]))
    replay.run(example())
    expect(numbers(clone)).toEqual(before)
    replay.dispose()
    expect(numbers(clone)).toEqual(before)
  })

  it('keeps the value of a variable when one of the functions that share it is disposed of', () => {
    const w = fresh()
    const [replay, other] = [capture(descent(w), { variables: [w] }), capture(descent(w), { variables: [w] })]
    replay.run(example())
    other.run(example())
    const last = numbers(w)
    replay.dispose()
    expect(numbers(w)).toEqual(last)
    const multiply = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.mul(x, w) }), { variables: [w] })
    expect(numbers(multiply.run({ x: tf.scalar(1) }).y)).toEqual(last)
    other.dispose()
    expect(numbers(multiply.run({ x: tf.scalar(1) }).y)).toEqual(last)
    multiply.dispose()
    expect(numbers(w)).toEqual(last)
  })

  it('computes with the frozen tensors and the variables themselves in every graph: no call copies or assigns any', () => {
    const [w, frozen] = [fresh(), upload(tf.linspace(1, 2, 2000).reshape([500, 4]))]
    const inputs = [1, 2, 3].map((rows) => ({ x: upload(tf.ones([rows, 500])) }))
    const observed = observeBinding()
    const multiply = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.matMul(x, tf.mul(frozen, w)) }), { variables: [w] })
    const grow = capture(
      ({ x }: { x: tf.Tensor }) => {
        w.assign(tf.add(w, tf.mean(tf.matMul(x, frozen))))
        return { x }
      },
      { variables: [w] },
    )
    const runAll = () => {
      for (const input of inputs) {
        multiply.run(input)
        grow.run(input)
      }
    }
    runAll()
    expect(observed.variables).toHaveLength(1)
    expect(observed.ops.filter((op) => op === 'AssignVariableOp')).toHaveLength(1)
    observed.ops.length = 0
    runAll()
    expect(observed.ops).toHaveLength(6)
    for (const op of observed.ops) expect(op).toMatch(/^captured\d+$/)
    observed.stop()
    for (const { dispose } of [multiply, grow]) dispose()
  })

  it('leaves no functions, tensors and variables of TensorFlow when it is disposed of', () => {
    const [w, frozen] = [fresh(), upload(tf.linspace(1, 2, 2000))]
    nativeBackend().getInputTensorIds([w])
    const before = nativeTensorCount()
    const observed = observeBinding()
    const captured = capture(
      ({ x }: { x: tf.Tensor }) => {
        const y = graphFunction('scale', { inputs: { x, frozen } }, () => tf.mul(x, frozen))
        w.assign(tf.add(w, tf.sum(y)))
        return { y }
      },
      { variables: [w] },
    )
    for (const shape of [[1], [2, 1], [3, 1]]) tf.dispose(tf.tidy(() => captured.run({ x: tf.ones(shape) })))
    const [variable, ...others] = observed.variables
    expect(others).toEqual([])
    expect(holdsVariable(variable as string)).toBe(true)
    captured.dispose()
    observed.stop()
    expect(observed.added).toHaveLength(6)
    expect(new Set(observed.added).size).toBe(6)
    expect([...observed.removed].sort()).toEqual([...observed.added].sort())
    expect(holdsVariable(variable as string)).toBe(false)
    expect(nativeTensorCount()).toBe(before)
  })

  it('uses the names of its variables again, because TensorFlow remembers every name', () => {
    const observed = observeBinding()
    const variables = [fresh(4), fresh(5)]
    for (let round = 0; round < 3; round++) {
      const captured = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.concat([x, ...variables]) }), { variables })
      tf.dispose(captured.run({ x: tf.tensor1d([1]) }))
      captured.dispose()
    }
    observed.stop()
    expect(observed.variables).toHaveLength(6)
    expect(new Set(observed.variables).size).toBe(2)
  })

  it('refuses an op that TensorFlow does not have', () => {
    const captured = capture(({ x }: { x: tf.Tensor }) => {
      const recording = currentRecording() as NonNullable<ReturnType<typeof currentRecording>>
      const node = recording.add({ op: 'NoSuchOp', inputs: [], attributes: [] })
      return { y: recording.tensorForOutput({ shape: [], dtype: 1 }, recording.outputName(node)), x }
    })
    expect(() => captured.run({ x: tf.scalar(1) })).toThrow('this TensorFlow has no op NoSuchOp')
    captured.dispose()
    expect(numbers(tf.add(1, 1))).toEqual([2]) // the backend still works
  })

  it('refuses a function that reads tensor values', () => {
    const multiply = capture(({ x }: { x: tf.Tensor }) => ({ y: tf.scalar(x.dataSync()[0] as number) }))
    expect(() => multiply.run({ x: tf.scalar(1) })).toThrow(/cannot read the values of tensors/)
    expect(numbers(tf.add(1, 1))).toEqual([2]) // the backend still works
  })

  it('runs op by op with an addon that has no functions, such as that of npm', () => {
    const backend = nativeBackend()
    const { binding } = backend
    backend.binding = { ...copyBinding(binding) }
    for (const name of ['addFunction', 'removeFunction', 'getAllOps'])
      delete (backend.binding as unknown as Record<string, unknown>)[name]
    const [w, plain] = [fresh(), fresh()]
    expect(capturesGraphs()).toBe(false)
    const run = capture(descent(w), { variables: [w] })
    backend.binding = binding
    expect(capturesGraphs()).toBe(true)
    const first = numbers(run.run(example()).loss)
    expect(first).toEqual(numbers(descent(plain)(example()).loss))
    expect(numbers(w)).toEqual(numbers(plain))
    run.dispose()
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
