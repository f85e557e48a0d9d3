import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import { capture } from '../../src/engine/capture.ts'
import { graphFunction } from '../../src/engine/graph-function.ts'
import { runOp, typeAttribute, upload } from '../../src/engine/native.ts'
import { updateInPlace } from '../../src/engine/native-ops.ts'
import { currentRecording } from '../../src/engine/recording.ts'
import { needsNative } from '../needs.ts'
import { hasNative } from './native.ts'
import { nativeTensorCount } from './observed-binding.ts'

const numbers = (tensor: tf.Tensor) => [...tensor.dataSync()]

/** x → w·x + b as a graph function, counting how often its body runs. */
function counted() {
  const runs = { count: 0 }
  const layer = (x: tf.Tensor, weights: { w: tf.Tensor; b: tf.Tensor }, power = 1) =>
    graphFunction('layer', { inputs: { x, weights, power } }, () => {
      runs.count++
      const product = tf.mul(weights.w, x)
      return { y: tf.add(power === 2 ? tf.square(product) : product, weights.b), saved: [product, undefined] as const }
    })
  return { runs, layer }
}

const weightsOf = (w: number, b: number) => ({ w: tf.tensor1d([w, w + 1]), b: tf.tensor1d([b, -b]) })

describe.skipIf(!hasNative)('a graph function on native TensorFlow', needsNative, () => {
  beforeAll(async () => {
    await startBackend('tensorflow')
  })

  it('is recorded once and computes the same as eager execution', () => {
    const { runs, layer } = counted()
    const stack = [weightsOf(2, 1), weightsOf(3, 5), weightsOf(-1, 4)]
    const body = ({ x }: { x: tf.Tensor }) => {
      let [y, sum] = [x, tf.zerosLike(x)]
      for (const weights of stack) {
        const result = layer(y, weights)
        y = result.y
        sum = tf.add(sum, result.saved[0])
      }
      return { y, sum }
    }
    const x = tf.tensor1d([1, 2])
    const plain = body({ x })
    expect(runs.count).toBe(3)
    const replay = capture(body)
    const replayed = replay.run({ x })
    expect(runs.count).toBe(4)
    expect(numbers(replayed.y)).toEqual(numbers(plain.y))
    expect(numbers(replayed.sum)).toEqual(numbers(plain.sum))
    replay.dispose()
  })

  it('is recorded again for other numbers or shapes, or when one tensor is passed for two inputs', () => {
    const { runs, layer } = counted()
    const [weights, w] = [weightsOf(2, 1), tf.tensor1d([3, 4])]
    const replay = capture(({ x }: { x: tf.Tensor }) => ({
      plain: layer(x, weights).y,
      squared: layer(x, weights, 2).y,
      scalar: layer(tf.sum(x), weights).y,
      twice: layer(x, { w, b: w }).y,
      again: layer(x, { w: weights.b, b: weights.b }).y,
    }))
    const { plain, squared, scalar, twice, again } = replay.run({ x: tf.tensor1d([1, 2]) })
    expect(runs.count).toBe(4) // `again` reuses the function of `twice` with another tensor
    expect([plain, squared, scalar, twice, again].map((y) => numbers(y as tf.Tensor))).toEqual([
      [3, 5],
      [5, 35],
      [7, 8],
      [6, 12],
      [2, -3],
    ])
    replay.dispose()
  })

  it('can call other graph functions', () => {
    const { runs, layer } = counted()
    const pairs = [1, 2].map((n) => [weightsOf(n, 1), weightsOf(n, 2)] as const)
    const replay = capture(({ x }: { x: tf.Tensor }) => {
      const two = (x: tf.Tensor, [first, second]: (typeof pairs)[number]) =>
        graphFunction('two', { inputs: { x, first, second } }, () => layer(layer(x, first).y, second).y)
      return { y: pairs.reduce(two, x) }
    })
    expect(numbers(replay.run({ x: tf.tensor1d([1, 1]) }).y)).toEqual([20, -5])
    expect(runs.count).toBe(1)
    replay.dispose()
  })

  it('is called once for repeated calls with the same tensors', () => {
    const { layer } = counted()
    const weights = weightsOf(2, 1)
    let calls = 0
    const replay = capture(({ x }: { x: tf.Tensor }) => {
      const results = { first: layer(x, weights).y, same: layer(x, weights).y, other: layer(tf.add(x, 1), weights).y }
      calls = currentRecording()?.nodes.filter(({ op }) => op === 'PartitionedCall').length ?? 0
      return results
    })
    const { first, same, other } = replay.run({ x: tf.tensor1d([1, 2]) })
    expect(calls).toBe(2)
    expect([first, same, other].map((y) => numbers(y as tf.Tensor))).toEqual([
      [3, 5],
      [3, 5],
      [5, 8],
    ])
    replay.dispose()
  })

  it('has a control dependency on the tensor of the option `after`', () => {
    const weights = weightsOf(2, 1)
    const waiting: string[] = []
    const replay = capture(({ x }: { x: tf.Tensor }) => {
      const sum = tf.sum(x)
      const y = graphFunction('late', { inputs: { x, weights }, after: sum }, () => tf.mul(x, weights.w))
      const nodes = currentRecording()?.nodes ?? []
      const call = nodes.find(({ op }) => op === 'PartitionedCall')
      waiting.push(...nodes.filter(({ name }) => call?.inputs.includes(`^${name}`)).map(({ op }) => op))
      return { y, sum }
    })
    expect(numbers(replay.run({ x: tf.tensor1d([1, 2]) }).y)).toEqual([2, 6])
    expect(waiting).toEqual(['Sum'])
    replay.dispose()
  })

  it('updates the variables passed to each call', () => {
    const variables = [tf.variable(tf.scalar(1)), tf.variable(tf.scalar(10))]
    const replay = capture(
      ({ x }: { x: tf.Tensor }) => {
        for (const variable of variables)
          graphFunction('halve', { inputs: { x }, variables: [variable] }, () => {
            const change = tf.add(tf.mul(variable, 0.5), x)
            updateInPlace('AssignSubVariableOp', [variable], [change], [typeAttribute('dtype', 'float32')])
            return []
          })
        return { x: tf.add(x, 0) }
      },
      { variables },
    )
    replay.run({ x: tf.scalar(0) })
    replay.run({ x: tf.scalar(1) })
    expect(variables.map((variable) => numbers(variable)[0])).toEqual([-0.75, 1.5])
    replay.dispose()
  })

  it('refuses tensors and variables that are not passed to it', () => {
    const [w, x] = [upload(tf.tensor1d([1, 2])), tf.tensor1d([3, 4])]
    const variable = tf.variable(tf.scalar(1))
    const refused = capture(({ x }: { x: tf.Tensor }) => ({
      y: graphFunction('invalid', { inputs: { x } }, () => tf.mul(x, w)),
    }))
    expect(() => refused.run({ x })).toThrow(/uses a tensor that is not one of its inputs/)
    const changing = capture(
      ({ x }: { x: tf.Tensor }) => {
        const dtype = typeAttribute('dtype', 'float32')
        graphFunction('invalid', { inputs: { x } }, () => {
          updateInPlace('AssignSubVariableOp', [variable], [tf.sum(x)], [dtype])
          return []
        })
        return { x }
      },
      { variables: [variable] },
    )
    expect(() => changing.run({ x })).toThrow(/updates a variable that is not one of its variables/)
    expect(numbers(tf.add(1, 1))).toEqual([2]) // the backend still works
  })

  it('can use any op, also one with several outputs', () => {
    const replay = capture(({ x }: { x: tf.Tensor }) => ({
      digamma: graphFunction('digamma', { inputs: { x } }, () =>
        runOp('Digamma', [x], [typeAttribute('T', 'float32')]),
      ),
      second: graphFunction('largest', { inputs: { x } }, () => tf.topk(x, 2).indices),
    }))
    const { digamma, second } = replay.run({ x: tf.tensor1d([1, 3, 2]) })
    expect(numbers(digamma as tf.Tensor)[0]).toBeCloseTo(-0.5772157, 5) // minus Euler's constant
    expect(numbers(second as tf.Tensor)).toEqual([1, 2])
    replay.dispose()
  })

  it('leaks no tensors', () => {
    const { layer } = counted()
    const [x, weights] = [tf.tensor1d([1, 2]), weightsOf(2, 1)]
    for (const tensor of [x, weights.w, weights.b]) upload(tensor)
    const before = [tf.memory().numTensors, nativeTensorCount()]
    const replay = capture(({ x }: { x: tf.Tensor }) => ({ y: layer(layer(x, weights).y, weights).y }))
    tf.dispose(replay.run({ x }))
    replay.dispose()
    expect([tf.memory().numTensors, nativeTensorCount()]).toEqual(before)
  })
})

describe('a graph function on other backends', () => {
  it('runs its body', async () => {
    await startBackend('wasm')
    const { layer } = counted()
    expect(numbers(layer(tf.tensor1d([1, 2]), weightsOf(2, 1)).y)).toEqual([3, 5])
  })
})
