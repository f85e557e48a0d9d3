import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSampler, type Sampler } from '../../src/diffusion/sampler.ts'
import { toBatch } from '../../src/engine/device-tensors.ts'
import { detachLora } from '../../src/model/lora.ts'
import type { Transformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { startGoldenBackend } from '../golden/golden.ts'
import { loadSmallModel, smallPairs, smallSettings } from '../train/small-model.ts'

const guidance = { cfg: 3, stg: 1, rescale: 0.7 }
const pairs = smallPairs(2)

async function latentsOf(sampler: Sampler, [pair] = pairs): Promise<number[]> {
  const { reference, context } = pair as (typeof pairs)[number]
  const input = {
    noise: toBatch({ shape: [5, 128], values: normals(randomFor(3, 'noise'), 5 * 128) }),
    reference: toBatch(reference),
    context: toBatch(context),
    negativeContext: toBatch({ ...context, values: context.values.map((value) => -value) }),
  }
  const latents = await sampler.sample({ ...input, steps: 2, guidance })
  const values = [...latents.dataSync()]
  tf.dispose([input, latents])
  return values
}

const latentsOfOneMoreSampler = async (model: Transformer, ...rest: [typeof pairs] | []) => {
  const sampler = openSampler(model)
  const values = await latentsOf(sampler, ...rest)
  sampler.close()
  return values
}

describe('a sampler that is kept through a training', () => {
  let model: Transformer
  beforeAll(async () => {
    await startGoldenBackend()
    model = loadSmallModel()
  })

  it('hears the LoRA as it is each time, for references of any length', async () => {
    const sampler = openSampler(model)
    const trainer = createTrainer(model, pairs, { ...smallSettings, steps: 4 })
    const heard: number[][] = []
    await trainer.run({
      onStep: async ({ step }) => {
        if (step % 2 === 1) return
        const longer = smallPairs(1, 8)
        heard.push(await latentsOf(sampler))
        expect(heard.at(-1)).toEqual(await latentsOfOneMoreSampler(model))
        expect(await latentsOf(sampler, longer)).toEqual(await latentsOfOneMoreSampler(model, longer))
      },
    })
    expect(heard).toHaveLength(2)
    expect(heard[0]).not.toEqual(heard[1])
    sampler.close()
    trainer.dispose()
    detachLora(model)
  })

  it('changes nothing of the training', async () => {
    const parametersAfter = async (onStep?: () => Promise<void>) => {
      const trainer = createTrainer(model, pairs, { ...smallSettings, steps: 4 })
      await trainer.run({ ...(onStep && { onStep }) })
      const values = [...trainer.parameters.values()].map((parameter) => [...parameter.dataSync()])
      trainer.dispose()
      detachLora(model)
      return values
    }
    const alone = await parametersAfter()
    const sampler = openSampler(model)
    const heard = await parametersAfter(async () => void (await latentsOf(sampler)))
    sampler.close()
    expect(heard).toEqual(alone)
  })
})
