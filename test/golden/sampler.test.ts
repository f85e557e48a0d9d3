import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSampler } from '../../src/diffusion/sampler.ts'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { patchify, unpatchify } from '../../src/model/audio-vae/latents.ts'
import { ltxComponents } from '../../src/model/checkpoint-layout.ts'
import { readModelConfig } from '../../src/model/config.ts'
import { loadTransformer, type Transformer } from '../../src/model/transformer/transformer.ts'
import { golden, goldenPath, numberAfter, startGoldenBackend } from './golden.ts'

const reference = golden('sampler.safetensors')
const checkpoint = openSafetensors(goldenPath('tiny-ltx-2.3.safetensors'))
let model: Transformer

beforeAll(async () => {
  await startGoldenBackend()
  model = loadTransformer(ltxComponents(checkpoint).transformer, readModelConfig(checkpoint).transformer)
})

const tensor = <R extends tf.Rank>(name: string) =>
  tf.tensor(reference.float32(name), reference.shape(name) as never) as tf.Tensor<R>

/** The cases of the golden set with their settings from its README. */
const cases = reference.names
  .filter((name) => name.endsWith('.latent'))
  .map((name) => {
    const meaning = reference.meaning(name)
    const [, steps = ''] = /(\d+) steps/.exec(meaning) ?? []
    const everywhere = meaning.includes('in all blocks')
    const block = everywhere ? -1 : numberAfter(meaning, 'in block')
    return {
      name: name.slice(0, -'.latent'.length),
      steps: Number(steps),
      guidance: {
        cfg: numberAfter(meaning, 'cfg'),
        stg: numberAfter(meaning, 'stg'),
        rescale: numberAfter(meaning, 'rescale'),
      },
      perturbed: (i: number) => everywhere || i === block,
    }
  })

describe.each(cases)('guided sampling, case $name', ({ name, perturbed, ...settings }) => {
  it('matches the reference at every step', async () => {
    const sampler = openSampler(model, perturbed)
    const latent = await sampler.sample({
      noise: tensor('noise'),
      reference: patchify(tensor('ref_latents')),
      context: tensor('ctx_pos'),
      negativeContext: tensor('ctx_neg'),
      ...settings,
      onStep: (step, { predictions, denoised, tokens }) => {
        const state = {
          cond: predictions.conditional,
          neg: predictions.negative,
          stg: predictions.perturbed,
          denoised,
          x: tokens,
        }
        for (const [part, values] of Object.entries(state)) {
          const key = `${name}.step${step}.${part}`
          if (values && reference.names.includes(key)) reference.expectClose(key, values.dataSync())
        }
      },
    })
    sampler.close()
    const [, channels = 0] = reference.shape(`${name}.latent`)
    reference.expectClose(`${name}.latent`, unpatchify(latent, channels).dataSync())
  })

  it('leaks no tensors', async () => {
    const input = {
      noise: tensor<tf.Rank.R3>('noise'),
      reference: tf.tidy(() => patchify(tensor('ref_latents'))),
      context: tensor<tf.Rank.R3>('ctx_pos'),
      negativeContext: tensor<tf.Rank.R3>('ctx_neg'),
    }
    const before = tf.memory().numTensors
    const sampler = openSampler(model, perturbed)
    const latent = await sampler.sample({ ...input, ...settings })
    latent.dispose()
    sampler.close()
    expect(tf.memory().numTensors).toBe(before)
  })
})
