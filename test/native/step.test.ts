/** The captured training step on native TensorFlow, compared with eager execution of the same step, in each precision. */
import * as tf from '@tensorflow/tfjs'
import { afterEach, describe, expect, it } from 'vitest'
import { loraTargetModules } from '../../src/config/parameters.ts'
import { type Example, pairRope, velocityLoss } from '../../src/diffusion/flow-matching.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { capture } from '../../src/engine/capture.ts'
import type { Precision } from '../../src/engine/precision.ts'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { ltxComponents } from '../../src/model/checkpoint-layout.ts'
import { readModelConfig } from '../../src/model/config.ts'
import { attachNewLora, findTargetLinears, type LoraParameters } from '../../src/model/lora.ts'
import type { Checkpointing } from '../../src/model/transformer/checkpointing.ts'
import { loadTransformer, type Transformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { type OptimizerState, startOptimizer } from '../../src/train/optimizer.ts'
import { createStep, meanGradients, NonFiniteLoss, type StepOutcome, trainStep } from '../../src/train/step.ts'
import { hasBfloat16, hasNative } from '../engine/native.ts'
import { nativeTensorCount, observeBinding } from '../engine/observed-binding.ts'
import { goldenPath, relativeError } from '../golden/golden.ts'
import { needs } from '../needs.ts'

type Loaded = { model: Transformer; parameters: LoraParameters }

async function load(precision: Precision, checkpointing: Checkpointing = 'auto'): Promise<Loaded> {
  await startBackend('tensorflow', { precision })
  const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
  const config = readModelConfig(checkpoint).transformer
  const model = loadTransformer(ltxComponents(checkpoint).transformer, config, { checkpointing })
  const parameters = attachNewLora(findTargetLinears(model, loraTargetModules), 4, 8, randomFor(1, 'lora'))
  for (const [name, parameter] of parameters) parameter.assign(random(name, parameter.shape, 0.05))
  return { model, parameters }
}

const random = <R extends tf.Rank>(name: string, shape: number[], scale = 1) => {
  const count = shape.reduce((product, size) => product * size, 1)
  const values = normals(randomFor(2, name), count).map((value) => value * scale)
  return tf.tensor(values, shape as never) as tf.Tensor<R>
}

const exampleFor = ({ config }: Transformer, name: string, frames = 7): Example => ({
  target: random(`target ${name}`, [1, frames, config.audio_in_channels]),
  reference: random(`reference ${name}`, [1, frames - 2, config.audio_in_channels]),
  noise: random(`noise ${name}`, [1, frames, config.audio_in_channels]),
  sigma: tf.tensor1d([0.6]),
  context: random(`context ${name}`, [1, 9, config.audio_cross_attention_dim]),
})

const lossIn =
  (model: Transformer) =>
  (example: Example): tf.Scalar =>
    velocityLoss(model, example, pairRope(model, example.reference.shape[1], example.target.shape[1]))

/** The loss and gradients of one example, computed by a captured function. */
function capturedGradients(model: Transformer, parameters: LoraParameters, example: Example) {
  const variables = [...parameters.values()]
  const replay = capture(
    (example: Example) => {
      const { value, grads } = tf.variableGrads(() => lossIn(model)(example), variables)
      const gradients = [...parameters].map(([key, { name }]) => [key, grads[name] as tf.Tensor])
      return { ...Object.fromEntries(gradients), loss: value } as Record<string, tf.Tensor>
    },
    { variables },
  )
  const { loss, ...gradients } = replay.run(example)
  replay.dispose()
  return { loss: loss?.dataSync()[0] as number, gradients }
}

const flat = (gradients: Iterable<tf.Tensor>) => [...gradients].flatMap((gradient) => [...gradient.dataSync()])

describe.skipIf(!hasNative)('a captured step on native TensorFlow', () => {
  afterEach(() => tf.disposeVariables())

  /** In float32 only the last digits differ; bfloat16 has a significand of eight bits. */
  const tolerances: [Precision, number][] = [
    ['float32', 1e-5],
    ['bfloat16', 2e-2],
  ]

  it.each(tolerances)('has the loss and gradients of eager execution in %s', async (precision, tolerance) => {
    const { model, parameters } = await load(precision)
    const example = exampleFor(model, 'a')
    const eager = await meanGradients(parameters, [() => lossIn(model)(example)])
    const captured = capturedGradients(model, parameters, example)
    expect(Math.abs(captured.loss - eager.loss) / eager.loss).toBeLessThan(tolerance)
    const names = [...parameters.keys()]
    const actual = flat(names.map((name) => captured.gradients[name] as tf.Tensor))
    const expected = flat(names.map((name) => eager.gradients.get(name) as tf.Tensor))
    expect(relativeError(actual, expected).l2).toBeLessThan(tolerance)
  })

  it.skipIf(!hasBfloat16)(
    'in bfloat16 has the gradients of float32 within 3 %',
    needs('a processor that computes bfloat16'),
    async () => {
      const outcomeIn = async (precision: Precision) => {
        const { model, parameters } = await load(precision)
        const { loss, gradients } = capturedGradients(model, parameters, exampleFor(model, 'a'))
        tf.disposeVariables()
        return { loss, gradients: flat([...parameters.keys()].map((name) => gradients[name] as tf.Tensor)) }
      }
      const [exact, rounded] = [await outcomeIn('float32'), await outcomeIn('bfloat16')]
      expect(Math.abs(rounded.loss - exact.loss) / exact.loss).toBeLessThan(3e-3)
      const { l2 } = relativeError(rounded.gradients, exact.gradients)
      expect(l2).toBeLessThan(3e-2)
      expect(l2).toBeGreaterThan(1e-5) // the precision was different
    },
  )

  it('has the same gradients with and without activation checkpointing', async () => {
    const gradientsWith = async (checkpointing: Checkpointing) => {
      const { model, parameters } = await load('float32', checkpointing)
      const { gradients } = capturedGradients(model, parameters, exampleFor(model, 'a'))
      tf.disposeVariables()
      return flat([...parameters.keys()].map((name) => gradients[name] as tf.Tensor))
    }
    expect(relativeError(await gradientsWith('on'), await gradientsWith('off')).max).toBeLessThan(1e-6)
  })

  it('recomputes the activations of each block only with checkpointing', async () => {
    const attentionsPerBlock = async (checkpointing: Checkpointing) => {
      const { model, parameters } = await load('float32', checkpointing)
      const example = exampleFor(model, 'a')
      const { ops, stop } = observeBinding()
      const { gradients } = await meanGradients(parameters, [() => lossIn(model)(example)])
      tf.dispose([...gradients.values()])
      stop()
      tf.disposeVariables()
      return ops.filter((op) => op === 'Softmax' || op === 'LtxSoftmax').length / model.blocks.length
    }
    expect(await attentionsPerBlock('off')).toBe(2)
    expect(await attentionsPerBlock('on')).toBe(4)
    expect(await attentionsPerBlock('auto')).toBe(2) // this small model fits into memory
  })

  it.each([1, 2])('updates parameters and moments as eager execution with %i examples per step', async (count) => {
    const train = async (captured: boolean) => {
      const { model, parameters } = await load('float32')
      const optimizer = startOptimizer(parameters)
      const lossOf = lossIn(model)
      const step = createStep(parameters, optimizer, lossOf)
      const outcomes: StepOutcome[] = []
      for (const i of [0, 1, 2]) {
        const examples = Array.from({ length: count }, (_, j) => exampleFor(model, `${i} ${j}`, 7 + j))
        const options = { learningRate: 1e-3, maxNorm: 0.05 }
        const losses = examples.map((example) => () => lossOf(example))
        const outcome = captured ? step.run(examples, options) : trainStep(parameters, optimizer, losses, options)
        outcomes.push(await outcome)
      }
      const state = flat([...parameters.values(), ...optimizer.first.values(), ...optimizer.second.values()])
      step.dispose()
      tf.disposeVariables()
      return { outcomes, state, updates: optimizer.updates }
    }
    const [eager, captured] = [await train(false), await train(true)]
    captured.outcomes.forEach(({ loss, gradientNorm }, i) => {
      expect(loss).toBeCloseTo(eager.outcomes[i]?.loss as number, 4)
      expect(gradientNorm).toBeCloseTo(eager.outcomes[i]?.gradientNorm as number, 3)
    })
    expect(relativeError(captured.state, eager.state).l2).toBeLessThan(1e-4)
    expect(captured.updates).toBe(3)
  })

  const stateOf = ({ parameters }: Loaded, optimizer: OptimizerState) =>
    flat([...parameters.values(), ...optimizer.first.values(), ...optimizer.second.values()])
  const notFinite = (model: Transformer, value = Number.NaN): Example => ({
    ...exampleFor(model, 'a'),
    noise: tf.fill([1, 7, model.config.audio_in_channels], value),
  })

  it('changes nothing when the loss is NaN', async () => {
    const loaded = await load('float32')
    const { model, parameters } = loaded
    const optimizer = startOptimizer(parameters)
    const step = createStep(parameters, optimizer, lossIn(model))
    await step.run([exampleFor(model, 'a')], { learningRate: 1e-2 })
    const before = stateOf(loaded, optimizer)
    await expect(step.run([notFinite(model)], { learningRate: 1e-2 })).rejects.toThrow(/the loss is NaN/)
    expect(stateOf(loaded, optimizer)).toEqual(before)
    expect(optimizer.updates).toBe(1)
    step.dispose()
  })

  it.each([0, 1, 2])(
    'changes nothing when the loss of example %i of three is not finite, and the next step is the same as without',
    async (position) => {
      const train = async (fails: boolean) => {
        const loaded = await load('float32')
        const { model, parameters } = loaded
        const optimizer = startOptimizer(parameters)
        const step = createStep(parameters, optimizer, lossIn(model))
        const examplesAt = (i: number) => ['a', 'b', 'c'].map((name) => exampleFor(model, `${i} ${name}`))
        const outcomes = [await step.run(examplesAt(0), { learningRate: 1e-2 })]
        const before = stateOf(loaded, optimizer)
        for (const value of fails ? [Number.NaN, Number.POSITIVE_INFINITY, 1e30] : []) {
          const examples = examplesAt(1).with(position, notFinite(model, value))
          await expect(step.run(examples, { learningRate: 1e-2 })).rejects.toThrow(NonFiniteLoss)
        }
        expect(stateOf(loaded, optimizer)).toEqual(before)
        expect(optimizer.updates).toBe(1)
        outcomes.push(await step.run(examplesAt(2), { learningRate: 1e-2 }))
        const state = stateOf(loaded, optimizer)
        step.dispose()
        tf.disposeVariables()
        return { outcomes, state }
      }
      expect(await train(true)).toEqual(await train(false))
    },
  )

  it('captures one graph for each shape of examples, however they are combined, and one that applies the sums', async () => {
    const { model, parameters } = await load('float32')
    const optimizer = startOptimizer(parameters)
    const step = createStep(parameters, optimizer, lossIn(model))
    const observed = observeBinding()
    for (const lengths of [
      [5, 6, 7],
      [7, 7, 5],
      [6, 5, 5],
      [8, 5, 6, 7],
      [8, 8],
    ])
      await step.run(
        lengths.map((frames) => exampleFor(model, 'a', frames)),
        { learningRate: 1e-2 },
      )
    expect(observed.added.filter((name) => /^captured\d+$/.test(name))).toHaveLength(4 + 1)
    step.dispose()
    observed.stop()
    expect([...observed.removed].sort()).toEqual([...observed.added].sort())
  })

  it('leaves no tensors when it is disposed of, whatever the number of examples', async () => {
    const { model, parameters } = await load('float32')
    const optimizer = startOptimizer(parameters)
    const examples = [exampleFor(model, 'a'), exampleFor(model, 'b', 9)]
    const count = () => [tf.memory().numTensors, nativeTensorCount()]
    const runAll = async () => {
      const step = createStep(parameters, optimizer, lossIn(model))
      for (const list of [examples.slice(0, 1), examples]) await step.run(list, { learningRate: 1e-2 })
      step.dispose()
    }
    await runAll() // afterwards all values are in TensorFlow
    const before = count()
    await runAll()
    expect(count()).toEqual(before)
  })
})
