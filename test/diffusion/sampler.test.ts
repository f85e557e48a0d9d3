import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Guidance } from '../../src/diffusion/sampler.ts'
import { openSampler, type Sampler } from '../../src/diffusion/sampler.ts'
import { toBatch } from '../../src/engine/device-tensors.ts'
import { attachNewLora, detachLora, findTargetLinears } from '../../src/model/lora.ts'
import type { Transformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { startGoldenBackend } from '../golden/golden.ts'
import { loadSmallModel, smallPairs, smallSettings } from '../train/small-model.ts'

const guidance: Guidance = { cfg: 3, stg: 1, rescale: 0.7 }
const pairs = smallPairs(2)

async function latentsOf(
  sampler: Sampler,
  [pair] = pairs,
  settings = guidance,
  onStep?: () => void,
): Promise<number[]> {
  const { reference, context } = pair as (typeof pairs)[number]
  const input = {
    noise: toBatch({ shape: [5, 128], values: normals(randomFor(3, 'noise'), 5 * 128) }),
    reference: toBatch(reference),
    context: toBatch(context),
    negativeContext: toBatch({ ...context, values: context.values.map((value) => -value) }),
  }
  try {
    const latents = await sampler.sample({ ...input, steps: 2, guidance: settings, ...(onStep && { onStep }) })
    const values = [...latents.dataSync()]
    latents.dispose()
    return values
  } finally {
    tf.dispose(input)
  }
}

async function latentsOfNewSampler(model: Transformer, ...rest: [typeof pairs?, Guidance?]) {
  const sampler = openSampler(model)
  const values = await latentsOf(sampler, ...rest)
  sampler.close()
  return values
}

describe('a reused sampler', () => {
  let model: Transformer
  beforeAll(async () => {
    await startGoldenBackend()
    model = loadSmallModel()
  })

  it('uses the current LoRA parameters for references of any length', async () => {
    const sampler = openSampler(model)
    const trainer = createTrainer(model, pairs, { ...smallSettings, steps: 4 })
    const sampled: number[][] = []
    await trainer.run({
      onStep: async ({ step }) => {
        if (step % 2 === 1) return
        const longer = smallPairs(1, 8)
        sampled.push(await latentsOf(sampler))
        expect(sampled.at(-1)).toEqual(await latentsOfNewSampler(model))
        expect(await latentsOf(sampler, longer)).toEqual(await latentsOfNewSampler(model, longer))
      },
    })
    expect(sampled).toHaveLength(2)
    expect(sampled[0]).not.toEqual(sampled[1])
    sampler.close()
    trainer.dispose()
    detachLora(model)
  })

  it('leaks no tensors when it is stopped between two steps', async () => {
    const sampler = openSampler(model)
    await latentsOf(sampler)
    const before = tf.memory().numTensors
    const onStep = () => {
      throw new Error('stopped')
    }
    await expect(latentsOf(sampler, pairs, guidance, onStep)).rejects.toThrow('stopped')
    expect(tf.memory().numTensors).toBe(before)
    sampler.close()
  })

  it('uses the guidance of each call, independent of earlier calls', async () => {
    const [cfg, stg] = [
      [1, 3],
      [0, 1],
    ] as const
    const all = cfg.flatMap((cfg) => stg.map((stg) => ({ cfg, stg, rescale: 0.7 })))
    const expected = await Promise.all(all.map((settings) => latentsOfNewSampler(model, pairs, settings)))
    expect(new Set(expected.map(String)).size).toBe(all.length)
    for (const order of [all, all.toReversed()]) {
      const sampler = openSampler(model)
      for (const settings of order)
        expect(await latentsOf(sampler, pairs, settings), JSON.stringify(settings)).toEqual(
          expected[all.indexOf(settings)],
        )
      sampler.close()
    }
  })

  it('uses the attached LoRA, and none after it is detached', async () => {
    const sampler = openSampler(model)
    const base = await latentsOf(sampler)
    const linears = findTargetLinears(model, smallSettings.targetModules)
    const sampled: number[][] = []
    for (const rank of [2, 4]) {
      const parameters = attachNewLora(linears, rank, rank, randomFor(rank, 'lora'))
      for (const parameter of parameters.values())
        tf.tidy(() => parameter.assign(tf.fill(parameter.shape, 0.05 * rank)))
      sampled.push(await latentsOf(sampler))
      expect(sampled.at(-1)).toEqual(await latentsOfNewSampler(model))
      detachLora(model)
    }
    expect(await latentsOf(sampler)).toEqual(base)
    expect(new Set([base, ...sampled].map(String)).size).toBe(3)
    sampler.close()
  })

  it('does not change the training', async () => {
    const parametersAfter = async (onStep?: () => Promise<void>) => {
      const trainer = createTrainer(model, pairs, { ...smallSettings, steps: 4 })
      await trainer.run({ ...(onStep && { onStep }) })
      const values = [...trainer.parameters.values()].map((parameter) => [...parameter.dataSync()])
      trainer.dispose()
      detachLora(model)
      return values
    }
    const without = await parametersAfter()
    const sampler = openSampler(model)
    const withSampling = await parametersAfter(async () => void (await latentsOf(sampler)))
    sampler.close()
    expect(withSampling).toEqual(without)
  })
})
