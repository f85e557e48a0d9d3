import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { EncodedPair } from '../../src/encode/dataset.ts'
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts'
import { detachLora, type LoraParameters } from '../../src/model/lora.ts'
import type { Transformer } from '../../src/model/transformer/transformer.ts'
import type { LoraAverage } from '../../src/train/lora-average.ts'
import { resumeCheckOf } from '../../src/train/resume-check.ts'
import { restoreState, saveState } from '../../src/train/run-writer.ts'
import { NonFiniteLoss } from '../../src/train/step.ts'
import { createTrainer, type StepReport, type Trainer } from '../../src/train/trainer.ts'
import { startGoldenBackend } from '../golden/golden.ts'
import { loadSmallModel, smallPairs, smallSettings } from './small-model.ts'

let model: Transformer
const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
beforeAll(async () => {
  await startGoldenBackend()
  model = loadSmallModel()
})
beforeEach(() => detachLora(model))
afterAll(() => rmSync(folder, { recursive: true }))

const valuesOf = (parameters: LoraParameters) =>
  new Map([...parameters].map(([name, p]) => [name, Array.from(p.dataSync())]))

const fixedLossOf = async (trainer: Trainer) => (await trainer.evaluate()).fixedLoss

async function trained(trainer: Trainer, until = Number.POSITIVE_INFINITY) {
  const reports: StepReport[] = []
  await trainer.run({ onStep: (report) => void reports.push(report), shouldStop: () => trainer.step >= until })
  const values = valuesOf(trainer.parameters)
  trainer.dispose()
  return { reports, values }
}

describe('training', () => {
  it('lowers the loss over fixed noise', async () => {
    const trainer = createTrainer(model, smallPairs(3), { ...smallSettings, steps: 40 })
    const before = await fixedLossOf(trainer)
    await trainer.run({})
    expect(await fixedLossOf(trainer)).toBeLessThan(0.97 * before)
    trainer.dispose()
  })

  it('evaluates the fixed loss over all pairs, with the same value each time', async () => {
    const fixedLossOver = async (pairs: readonly EncodedPair[]) => {
      const trainer = createTrainer(model, pairs, smallSettings)
      const losses = [await fixedLossOf(trainer), await fixedLossOf(trainer)]
      trainer.dispose()
      detachLora(model)
      expect(losses[1]).toBe(losses[0])
      return losses[0]
    }
    const pairs = smallPairs(3)
    const before = await fixedLossOver(pairs)
    const trainer = createTrainer(model, pairs, { ...smallSettings, learningRate: 0, steps: 2 })
    await trainer.run({})
    expect(await fixedLossOf(trainer)).toBe(before) // the steps draw different noise
    trainer.dispose()
    detachLora(model)
    for (const [i, pair] of pairs.entries()) {
      const changed = { ...pair, target: { ...pair.target, values: pair.target.values.map((value) => 2 * value) } }
      expect(await fixedLossOver(pairs.with(i, changed)), pair.name).not.toBe(before)
    }
  })

  it('gives the same bytes for the same seed, and others for another seed', async () => {
    const ends = []
    for (const seed of [1, 1, 2]) {
      detachLora(model)
      ends.push((await trained(createTrainer(model, smallPairs(3), { ...smallSettings, seed }))).values)
    }
    expect(ends[1]).toEqual(ends[0])
    expect(ends[2]).not.toEqual(ends[0])
  })

  it('gives the same bytes during another training in the same process', async () => {
    const alone = await trained(createTrainer(model, smallPairs(3), smallSettings))
    detachLora(model)
    const settings = { ...smallSettings, seed: 2, rank: 2 }
    const both = [
      createTrainer(model, smallPairs(3), smallSettings),
      createTrainer(loadSmallModel(), smallPairs(2), settings),
    ]
    const [concurrent] = await Promise.all(both.map((trainer) => trained(trainer)))
    expect(concurrent?.values).toEqual(alone.values)
  })

  it('gives the same bytes and losses when it is resumed after five steps', async () => {
    const whole = await trained(createTrainer(model, smallPairs(3), smallSettings))
    detachLora(model)
    const first = createTrainer(model, smallPairs(3), smallSettings)
    const path = join(folder, 'state.safetensors')
    await first.run({ shouldStop: () => first.step >= 5 })
    const identity = resumeCheckOf('base', smallPairs(3), smallSettings)
    await saveState(path, first, identity)
    first.dispose()
    detachLora(model)
    const second = createTrainer(model, smallPairs(3), smallSettings)
    restoreState(path, second, identity)
    const rest = await trained(second)
    expect(rest.reports.map(({ step, loss }) => [step, loss])).toEqual(
      whole.reports.slice(5).map(({ step, loss }) => [step, loss]),
    )
    expect(rest.values).toEqual(whole.values)
  })

  it('refuses the state of another training, and names each difference with both values', async () => {
    const trainer = createTrainer(model, smallPairs(3), smallSettings)
    const path = join(folder, 'other.safetensors')
    await saveState(path, trainer, resumeCheckOf('this base', smallPairs(3), smallSettings))
    const [first, ...rest] = smallPairs(3) as [EncodedPair, ...EncodedPair[]]
    const renamed = [{ ...first, name: 'new' }, ...rest]
    const other = resumeCheckOf('that base', renamed, { ...smallSettings, seed: 7 })
    expect(() => restoreState(path, trainer, other)).toThrow(
      expect.objectContaining({
        name: 'UserError',
        message: expect.stringMatching(
          /base model was this base and is now that base; seed was \d+ and is now 7; the pair .+ is gone; the pair new is new$/,
        ),
      }),
    )
    trainer.dispose()
  })

  it.each([
    ['without a step', { step: '' }, /its step is ""/],
    ['without the check of its run', { identity: '{}' }, /does not say which run/],
  ])('refuses a state %s', async (_, change, expected) => {
    const trainer = createTrainer(model, smallPairs(3), smallSettings)
    const identity = resumeCheckOf('base', smallPairs(3), smallSettings)
    const path = join(folder, 'invalid.safetensors')
    await saveState(path, trainer, identity)
    const file = openSafetensors(path)
    const tensors = new Map([...file.tensors.keys()].map((name) => [name, file.read(name)]))
    writeSafetensors(path, tensors, { ...file.metadata, ...change })
    expect(() => restoreState(path, trainer, identity)).toThrow(expected)
    tensors.delete([...tensors.keys()].at(-1) ?? '')
    writeSafetensors(path, tensors, file.metadata)
    expect(() => restoreState(path, trainer, identity)).toThrow(/it lacks second\./)
    expect(trainer.step).toBe(0)
    trainer.dispose()
  })

  it('reports the sigma and pair of a loss that is not finite, and does not change the parameters', async () => {
    const [first, bad, last] = smallPairs(3) as [EncodedPair, EncodedPair, EncodedPair]
    const target = { ...bad.target, values: bad.target.values.map(() => Number.POSITIVE_INFINITY) }
    const trainer = createTrainer(model, [first, { ...bad, target }, last], { ...smallSettings, accumulation: 3 })
    const before = valuesOf(trainer.parameters)
    const failure = (await trainer.run({}).catch((error) => error)) as NonFiniteLoss
    expect(failure).toBeInstanceOf(NonFiniteLoss)
    expect(failure.examples).toEqual([{ pair: bad.name, sigma: expect.any(Number) }])
    expect(valuesOf(trainer.parameters)).toEqual(before)
    expect(trainer.step).toBe(0)
    trainer.dispose()
  })

  it('accumulates the mean gradient of several pairs', async () => {
    const once = await trained(createTrainer(model, smallPairs(1), { ...smallSettings, steps: 1 }))
    detachLora(model)
    const twice = await trained(createTrainer(model, smallPairs(1), { ...smallSettings, steps: 1, accumulation: 2 }))
    expect(twice.reports[0]?.sigmas).toHaveLength(2)
    expect(twice.reports[0]?.sigmas[0]).toBe(once.reports[0]?.sigmas[0])
    expect(twice.reports[0]?.loss).not.toBe(once.reports[0]?.loss)
  })

  it('uses every pair once per epoch', async () => {
    const { reports } = await trained(createTrainer(model, smallPairs(4), smallSettings))
    for (const epoch of [0, 1, 2]) {
      const names = reports.slice(epoch * 4, epoch * 4 + 4).flatMap(({ pairs }) => pairs)
      expect(names.sort()).toEqual(['pair-0', 'pair-1', 'pair-2', 'pair-3'])
    }
  })

  it('does not change the number of tensors', async () => {
    const trainer = createTrainer(model, smallPairs(2), smallSettings)
    const counts: number[] = []
    await trainer.run({ onStep: () => void counts.push(tf.memory().numTensors) })
    expect(new Set(counts.slice(1)).size).toBe(1)
    trainer.dispose()
  })

  it('leaves no tensors except the LoRA', async () => {
    const before = tf.memory().numTensors
    await trained(createTrainer(model, smallPairs(2), smallSettings))
    detachLora(model)
    const [first] = [tf.memory().numTensors]
    await trained(createTrainer(model, smallPairs(2), smallSettings))
    detachLora(model)
    expect(tf.memory().numTensors).toBe(first)
    expect(first).toBeGreaterThanOrEqual(before) // wasm keeps a second orientation of frozen weights from the first gradient on
  })

  it('stops at a step whose loss is NaN, without an update', async () => {
    const pairs = smallPairs(1)
    const trainer = createTrainer(model, pairs, smallSettings)
    const before = valuesOf(trainer.parameters)
    pairs[0]?.target.values.fill(Number.NaN)
    await expect(trainer.run({})).rejects.toThrow(NonFiniteLoss)
    expect(valuesOf(trainer.parameters)).toEqual(before)
    expect(trainer.step).toBe(0)
    trainer.dispose()
  })
})

describe('an evaluation on held-out pairs', () => {
  const [heldOut, training] = [smallPairs(5).slice(3), smallPairs(3)]
  const evaluate = async (pairs: readonly EncodedPair[], held: readonly EncodedPair[], seed = 1, steps = 0) => {
    const trainer = createTrainer(model, pairs, { ...smallSettings, seed, steps }, held)
    await trainer.run({})
    const evaluation = await trainer.evaluate()
    trainer.dispose()
    detachLora(model)
    return evaluation
  }

  it('is over all held-out pairs and no other, and beside it over as many training pairs', async () => {
    const before = await evaluate(training, heldOut)
    for (const [i, pair] of heldOut.entries()) {
      const changed = { ...pair, target: { ...pair.target, values: pair.target.values.map((value) => 2 * value) } }
      const after = await evaluate(training, heldOut.with(i, changed))
      expect(after.heldOutLoss).not.toBe(before.heldOutLoss)
      expect(after.fixedLoss).toBe(before.fixedLoss)
    }
    let differing = 0
    for (const [i, pair] of training.entries()) {
      const changed = { ...pair, target: { ...pair.target, values: pair.target.values.map((value) => 2 * value) } }
      const after = await evaluate(training.with(i, changed), heldOut)
      expect(after.heldOutLoss).toBe(before.heldOutLoss)
      if (after.fixedLoss !== before.fixedLoss) differing++
    }
    expect(differing).toBe(heldOut.length)
  })

  it('has the same noise and noise levels for both lists of pairs, and for every seed', async () => {
    const same = await evaluate(heldOut.slice(0, 1), heldOut.slice(0, 1))
    expect(same.heldOutLoss).toBe(same.fixedLoss)
    const other = await evaluate(training, heldOut, 2) // the LoRA of step 0 changes nothing, whatever its seed
    expect(other.heldOutLoss).toBe((await evaluate(training, heldOut)).heldOutLoss)
  })

  it('does not change the training', async () => {
    const alone = await trained(createTrainer(model, training, smallSettings))
    detachLora(model)
    const trainer = createTrainer(model, training, { ...smallSettings, ema: 0.9 }, heldOut)
    const onStep = async () => void (await trainer.evaluate())
    await trainer.run({ onStep })
    expect(valuesOf(trainer.parameters)).toEqual(alone.values)
    trainer.dispose()
  })
})

describe('the moving average of a LoRA', () => {
  const settings = { ...smallSettings, ema: 0.8 }

  it('is that of the parameters after each step, with a decay that grows to its final value', async () => {
    const trainer = createTrainer(model, smallPairs(3), settings)
    const name = [...trainer.parameters.keys()].at(-1) as string
    const lastFactor = (variables: LoraParameters) => Array.from((variables.get(name) as tf.Variable).dataSync())
    let expected = lastFactor(trainer.parameters)
    const onStep = ({ step }: StepReport) => {
      const decay = Math.min(0.8, (1 + step) / (10 + step))
      const values = lastFactor(trainer.parameters)
      expected = expected.map((average, i) => decay * average + (1 - decay) * (values[i] as number))
    }
    await trainer.run({ onStep })
    const average = lastFactor((trainer.average as LoraAverage).values)
    expect(Math.max(...average.map(Math.abs))).toBeGreaterThan(1e-3)
    for (const [i, value] of average.entries()) expect(value).toBeCloseTo(expected[i] as number, 6)
    trainer.dispose()
  })

  it('is evaluated beside the LoRA, which stays as it is', async () => {
    const trainer = createTrainer(model, smallPairs(3), settings, smallPairs(4).slice(3))
    await trainer.run({})
    const [before, averaged] = [valuesOf(trainer.parameters), valuesOf((trainer.average as LoraAverage).values)]
    const evaluation = await trainer.evaluate()
    expect(valuesOf(trainer.parameters)).toEqual(before)
    expect(valuesOf((trainer.average as LoraAverage).values)).toEqual(averaged)
    expect(await trainer.evaluate()).toEqual(evaluation)
    trainer.average?.exchange() // the model then has the average
    expect(await trainer.evaluate()).toEqual({
      fixedLoss: evaluation.emaFixedLoss,
      heldOutLoss: evaluation.emaHeldOutLoss,
      emaFixedLoss: evaluation.fixedLoss,
      emaHeldOutLoss: evaluation.heldOutLoss,
    })
    expect(evaluation.emaHeldOutLoss).not.toBe(evaluation.heldOutLoss)
    trainer.dispose()
  })

  it('is the same in a resumed run', async () => {
    const endOf = async (trainer: Trainer) => {
      await trainer.run({})
      const values = valuesOf((trainer.average as LoraAverage).values)
      trainer.dispose()
      detachLora(model)
      return values
    }
    const whole = await endOf(createTrainer(model, smallPairs(3), settings))
    const check = resumeCheckOf('base', smallPairs(3), settings)
    const path = join(folder, 'average.safetensors')
    const first = createTrainer(model, smallPairs(3), settings)
    await first.run({ onStep: async () => void (await first.evaluate()), shouldStop: () => first.step >= 5 })
    await saveState(path, first, check)
    first.dispose()
    detachLora(model)
    const second = createTrainer(model, smallPairs(3), settings)
    restoreState(path, second, check)
    expect(await endOf(second)).toEqual(whole)
  })

  it('leaves no tensors', async () => {
    const once = async () => {
      const trainer = createTrainer(model, smallPairs(2), { ...settings, steps: 2 })
      await trainer.run({ onStep: async () => void (await trainer.evaluate()) })
      trainer.dispose()
      detachLora(model)
      return tf.memory().numTensors
    }
    expect(await once()).toBe(await once())
  })
})
