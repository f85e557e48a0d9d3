/** A step of several examples on the backend of the golden tests: eager, or captured on native TensorFlow. */
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Example, pairRope, velocityLoss } from '../../src/diffusion/flow-matching.ts'
import { attachNewLora, detachLora, findTargetLinears, type LoraParameters } from '../../src/model/lora.ts'
import type { Transformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { disposeOptimizer, startOptimizer } from '../../src/train/optimizer.ts'
import { createStep, meanGradients } from '../../src/train/step.ts'
import { relativeError, startGoldenBackend } from '../golden/golden.ts'
import { loadSmallModel, smallSettings } from './small-model.ts'

let model: Transformer
let parameters: LoraParameters
let examples: readonly Example[]

beforeAll(async () => {
  await startGoldenBackend()
  model = loadSmallModel()
  parameters = attachNewLora(findTargetLinears(model, smallSettings.targetModules), 4, 4, randomFor(1, 'lora'))
  for (const [name, parameter] of parameters) parameter.assign(random(name, parameter.shape, 0.1)) // including B, which is zero initially
  examples = makeExamples()
})
afterAll(() => {
  detachLora(model)
  tf.dispose(examples as Example[])
})

const random = <R extends tf.Rank>(name: string, shape: number[], scale = 1) =>
  tf.tensor(
    normals(
      randomFor(2, name),
      shape.reduce((product, size) => product * size, 1),
    ).map((value) => value * scale),
    shape as never,
  ) as tf.Tensor<R>

/** Examples with different lengths, sigmas and gradient sizes. */
const makeExamples = () =>
  [0.2, 0.5, 0.9].map(
    (sigma, i): Example => ({
      target: random(`target ${i}`, [1, 5 + i, 128], 1 + i),
      reference: random(`reference ${i}`, [1, 5, 128]),
      noise: random(`noise ${i}`, [1, 5 + i, 128]),
      sigma: tf.tensor1d([sigma]),
      context: random(`context ${i}`, [1, 8, 64]),
    }),
  )

const lossOf = (example: Example) =>
  velocityLoss(model, example, pairRope(model, example.reference.shape[1], example.target.shape[1]))

/** The loss and gradient of one example, computed independently of the tested code. */
async function single(example: Example) {
  const { value, grads } = tf.variableGrads(() => lossOf(example), [...parameters.values()])
  const gradients = new Map([...parameters].map(([key, { name }]) => [key, grads[name] as tf.Tensor]))
  return { loss: (await value.data())[0] as number, gradient: await flat(gradients) }
}

const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
async function flat(tensors: ReadonlyMap<string, tf.Tensor>) {
  const values = [...parameters.keys()].map((name) => (tensors.get(name) as tf.Tensor).data())
  return (await Promise.all(values)).flatMap((part) => [...part])
}
const norm = (values: readonly number[]) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))

async function expected(count: number) {
  const singles = await Promise.all(examples.slice(0, count).map(single))
  const [first] = singles as [Awaited<ReturnType<typeof single>>]
  return {
    loss: average(singles.map(({ loss }) => loss)),
    gradient: first.gradient.map((_, i) => average(singles.map(({ gradient }) => gradient[i] as number))),
  }
}

it.each([1, 2, 3])('the loss and gradient of %i examples are the means over the examples', async (count) => {
  const { loss, gradients } = await meanGradients(
    parameters,
    examples.slice(0, count).map((example) => () => lossOf(example)),
  )
  const means = await expected(count)
  expect(loss / means.loss).toBeCloseTo(1, 5)
  expect(relativeError(await flat(gradients), means.gradient).l2).toBeLessThan(1e-5)
})

it.each([1, 2, 3])('a step of %i examples reports the mean loss and applies the mean gradient', async (count) => {
  const before = new Map([...parameters].map(([name, parameter]) => [name, parameter.clone()]))
  const { loss, gradient } = await expected(count)
  const optimizer = startOptimizer(parameters)
  const step = createStep(parameters, optimizer, lossOf)
  const outcome = await step.run(examples.slice(0, count), { learningRate: 1e-3, maxNorm: 1e9 })
  expect(outcome.loss / loss).toBeCloseTo(1, 4)
  expect(outcome.gradientNorm / norm(gradient)).toBeCloseTo(1, 3)
  // the first moment after the first update is a tenth of the gradient
  expect(
    relativeError(
      (await flat(optimizer.first)).map((moment) => 10 * moment),
      gradient,
    ).l2,
  ).toBeLessThan(1e-3)
  step.dispose()
  disposeOptimizer(optimizer)
  for (const [name, parameter] of parameters) parameter.assign(before.get(name) as tf.Tensor)
})

it('a step clips the mean gradient, not the gradients of the examples', async () => {
  const { gradient } = await expected(3)
  const maxNorm = norm(gradient) / 4
  const optimizer = startOptimizer(parameters)
  const step = createStep(parameters, optimizer, lossOf)
  const { gradientNorm } = await step.run(examples, { learningRate: 1e-3, maxNorm })
  expect(gradientNorm / norm(gradient)).toBeCloseTo(1, 3)
  expect(
    relativeError(
      (await flat(optimizer.first)).map((moment) => 40 * moment),
      gradient,
    ).l2,
  ).toBeLessThan(1e-3)
  step.dispose()
  disposeOptimizer(optimizer)
})
