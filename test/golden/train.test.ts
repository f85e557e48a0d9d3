import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loraTargetModules } from '../../src/config/parameters.ts'
import { type Example, pairInput, pairRope, velocityLoss, velocityTarget } from '../../src/diffusion/flow-matching.ts'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { patchify } from '../../src/model/audio-vae/latents.ts'
import { openBase } from '../../src/model/base-model.ts'
import {
  attachNewLora,
  detachLora,
  findTargetLinears,
  type LoraParameters,
  loraShapes,
  matchTargets,
} from '../../src/model/lora.ts'
import { loraKeys, writeTrainedLora } from '../../src/model/lora-file.ts'
import { loadTransformer, type Transformer, velocity } from '../../src/model/transformer/transformer.ts'
import { randomFor } from '../../src/platform/random.ts'
import { disposeOptimizer, learningRateFactor, startOptimizer } from '../../src/train/optimizer.ts'
import { meanGradients, type StepOutcome, trainStep } from '../../src/train/step.ts'
import { goldenJson, goldenSets, numberAfter, startGoldenBackend } from './golden.ts'

describe.each(goldenSets)('$name', (set) => {
  const train = set.numbers('train.safetensors')
  const base = openBase(set.base)
  let model: Transformer
  beforeAll(async () => {
    await startGoldenBackend()
    model = loadTransformer(base.components.transformer, base.config.transformer)
  })

  const { tensor } = train

  /** Attaches a new LoRA and assigns the golden values of the set. */
  function attach(alpha: number, prefix: string): LoraParameters {
    detachLora(model)
    const linears = findTargetLinears(model, loraTargetModules)
    const first = loraKeys(linears[0]?.name ?? '').a
    const [rank = 0] = train.shape(prefix + first)
    const parameters = attachNewLora(linears, rank, alpha, randomFor(1, 'lora'))
    for (const [name, parameter] of parameters)
      if (train.names.includes(prefix + name)) parameter.assign(tensor(prefix + name))
    return parameters
  }

  const caseExample = (): Example => ({
    target: patchify(tensor('in.latents')),
    reference: patchify(tensor('in.ref_latents')),
    noise: tensor('in.noise'),
    sigma: tensor('in.sigma'),
    context: tensor('in.context'),
  })

  const ropeOf = ({ reference, target }: Example) => pairRope(model, reference.shape[1], target.shape[1])

  describe('a training example', () => {
    it('has the layout of the reference', async () => {
      const example = caseExample()
      const { tokens, noisy } = pairInput(example, ropeOf(example))
      await train.expectTensor('in.tokens', tokens)
      await train.expectTensor('in.target', velocityTarget(example.target, example.noise))
      const timesteps = (await example.sigma.array()).flatMap((sigma) => noisy.map((isNoisy) => isNoisy * sigma))
      expect(timesteps).toEqual([...train.float32('in.timesteps')])
    })
  })

  const alphas = train.names.flatMap((name) => /^alpha(\d+)\.loss$/.exec(name)?.slice(1).map(Number) ?? [])

  describe.each(alphas)('adapters with alpha %i', (alpha) => {
    it('have the predictions, loss and gradients of the reference', async () => {
      const parameters = attach(alpha, '')
      const example = caseExample()
      const rope = ropeOf(example)
      const input = pairInput(example, rope)
      await train.expectTensor(`alpha${alpha}.pred`, velocity(model, input))

      const { loss, gradients } = await meanGradients(parameters, [() => velocityLoss(model, example, rope)])
      train.expectClose(`alpha${alpha}.loss`, [loss])
      const squares = tf.stack([...gradients.values()].map((gradient) => tf.sum(tf.square(gradient))))
      await train.expectTensor(`alpha${alpha}.grad_norm`, tf.sqrt(tf.sum(squares)))
      const graded = train.names.filter((name) => name.startsWith(`alpha${alpha}.grad.`))
      expect(graded).toHaveLength(gradients.size)
      for (const name of graded) {
        const gradient = gradients.get(name.slice(`alpha${alpha}.grad.`.length)) as tf.Tensor
        await train.expectTensor(name, gradient)
      }
    })

    it('have the loss of the reference for each sample of the batch', async () => {
      attach(alpha, '')
      const example = caseExample()
      const losses = Array.from({ length: example.sigma.shape[0] }, (_, i) => {
        const sample = (t: tf.Tensor3D) => tf.slice(t, [i, 0, 0], [1, -1, -1])
        const one = {
          target: sample(example.target),
          reference: sample(example.reference),
          noise: sample(example.noise),
          sigma: tf.slice(example.sigma, [i], [1]),
          context: sample(example.context),
        }
        return velocityLoss(model, one, ropeOf(one))
      })
      await train.expectTensor(`alpha${alpha}.loss_per_sample`, tf.stack(losses))
    })
  })

  const trajectories = train.names
    .filter((name) => /^traj\w*\.loss$/.test(name))
    .map((key) => {
      const name = key.slice(0, -'.loss'.length)
      const final = train.names.find((other) => other.startsWith(`${name}.final.`)) as string
      const settings = [train.meaning(key), train.meaning(final)].find((text) => text.includes('clip')) as string
      return {
        name,
        peak: numberAfter(settings, settings.includes('learning rate') ? 'learning rate' : 'lr'),
        maxNorm: numberAfter(settings, 'clip'),
      }
    })

  describe.each(trajectories)('the training steps of $name', ({ name, peak, maxNorm }) => {
    it('have the losses, gradient norms and final parameters of the reference', async () => {
      const [rank = 0] = train.shape(
        `traj.init.${loraKeys(findTargetLinears(model, loraTargetModules)[0]?.name ?? '').a}`,
      )
      const parameters = attach(rank, 'traj.init.')
      const optimizer = startOptimizer(parameters)
      const target = patchify(tensor<tf.Rank.R4>('traj.latents'))
      const reference = patchify(tensor<tf.Rank.R4>('traj.ref_latents'))
      const context = tensor<tf.Rank.R3>('traj.context')
      const noises = tf.unstack(tensor<tf.Rank.R4>('traj.noise')) as tf.Tensor3D[]
      const sigmas = tf.unstack(tensor<tf.Rank.R2>('traj.sigma')) as tf.Tensor1D[]
      const outcomes: (StepOutcome & { learningRate: number })[] = []
      for (const [step, noise] of noises.entries()) {
        const example = { target, reference, context, noise, sigma: sigmas[step] as tf.Tensor1D }
        const rope = ropeOf(example)
        const learningRate = peak * learningRateFactor('linear', step, noises.length)
        const before = tf.memory().numTensors
        const outcome = await trainStep(parameters, optimizer, [() => velocityLoss(model, example, rope)], {
          learningRate,
          maxNorm,
        })
        if (step > 0) expect(tf.memory().numTensors).toBe(before)
        outcomes.push({ ...outcome, learningRate })
      }
      train.expectClose(
        `${name}.loss`,
        outcomes.map(({ loss }) => loss),
      )
      train.expectClose(
        `${name}.grad_norm`,
        outcomes.map(({ gradientNorm }) => gradientNorm),
      )
      train.expectClose(
        `${name}.lr`,
        outcomes.map(({ learningRate }) => learningRate),
      )
      const finals = train.names.filter((key) => key.startsWith(`${name}.final.`))
      expect(finals.length).toBeGreaterThan(0)
      for (const key of finals) {
        const parameter = parameters.get(key.slice(`${name}.final.`.length)) as tf.Variable
        await train.expectTensor(key, parameter)
      }
      disposeOptimizer(optimizer)
    })
  })

  describe('the base model without a LoRA', () => {
    it('has the loss of the reference', async () => {
      detachLora(model)
      const example = caseExample()
      const losses = Array.from({ length: example.sigma.shape[0] }, (_, i) => {
        const one = Object.fromEntries(
          Object.entries(example).map(([key, value]) => [key, tf.gather(value, tf.tensor1d([i], 'int32'))]),
        ) as Example
        return velocityLoss(model, one, ropeOf(one))
      })
      await train.expectTensor('base.loss_per_sample', tf.stack(losses))
    })
  })

  describe('the saved LoRA', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
    afterAll(() => rmSync(folder, { recursive: true }))

    it('has the same tensors as the file of the reference trainer', async () => {
      const saved = openSafetensors(set.path('lora-rank4-bf16.safetensors'))
      const factors = new Map(
        [...saved.tensors].map(([name, { shape }]) => [name, { shape, values: train.float32(name) }]),
      )
      const path = join(folder, 'lora.safetensors')
      await writeTrainedLora(path, factors, 1, facts)
      const written = openSafetensors(path)
      expect([...written.tensors.keys()]).toEqual([...saved.tensors.keys()])
      for (const name of saved.tensors.keys()) expect(written.read(name)).toEqual(saved.read(name))
    })
  })
})

describe('the saved LoRA', () => {
  it('has exactly the tensor names and shapes of a LoRA of the released model', () => {
    const { groups } = goldenJson('manifest-22b-audio.json') as Manifest
    const released = goldenJson('lora-keys.json') as { rank: number; tensors: Record<string, number[]> }
    const linears = groups
      .filter(({ prefix }) => prefix === 'model.diffusion_model.transformer_blocks.')
      .flatMap(({ names, count }) =>
        Array.from({ length: count }, (_, i) => linearsOf(`transformer_blocks.${i}.`, names)),
      )
      .flat()
    const shapes = matchTargets(linears, loraTargetModules).flatMap((linear) => {
      const { a, b } = loraShapes(linear, released.rank)
      return Object.entries({ [loraKeys(linear.name).a]: a, [loraKeys(linear.name).b]: b })
    })
    expect(Object.fromEntries(shapes)).toEqual(released.tensors)
  })
})

type Manifest = { groups: { prefix: string; count: number; names: Record<string, [string, number[]]> }[] }

const linearsOf = (prefix: string, names: Manifest['groups'][number]['names']) =>
  Object.entries(names)
    .filter(([name, [, shape]]) => name.endsWith('.weight') && shape.length === 2)
    .map(([name, [, shape]]) => ({
      name: prefix + name.replace(/\.weight$/, ''),
      weight: { shape: shape as [number, number] },
    }))

const facts = {
  rank: 4,
  alpha: 4,
  triggerPhrase: '',
  baseModel: 'test',
  referencePositions: 'overlapping',
  durationSeconds: 1,
  normalized: true,
  steps: 0,
  toolVersion: 'test',
} as const
