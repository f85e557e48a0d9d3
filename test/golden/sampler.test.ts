import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSampler } from '../../src/diffusion/sampler.ts'
import { patchify, unpatchify } from '../../src/model/audio-vae/latents.ts'
import { openBase } from '../../src/model/base-model.ts'
import { loadTransformer, type Transformer } from '../../src/model/transformer/transformer.ts'
import { type Golden, type GoldenSet, goldenSets, numberAfter, startGoldenBackend } from './golden.ts'

/** The cases of a golden set with their settings from its README. */
function casesOf(set: GoldenSet, reference: Golden) {
  return reference.names
    .filter((name) => name.endsWith('.latent'))
    .map((key) => {
      const name = key.slice(0, -'.latent'.length)
      const settings = settingsOf(set, name, reference.meaning(key))
      const [, steps = ''] = /(\d+) steps/.exec(settings) ?? []
      const everywhere = settings.includes('in all blocks')
      const block = everywhere ? -1 : numberAfter(settings, 'in block')
      return {
        name,
        steps: Number(steps),
        guidance: {
          cfg: numberAfter(settings, 'cfg'),
          stg: numberAfter(settings, 'stg'),
          rescale: numberAfter(settings, 'rescale'),
        },
        perturbed: (i: number) => everywhere || i === block,
      }
    })
}

/** The README gives the settings in the description of each tensor, or those of the case `main` in the text and what the others change. */
function settingsOf(set: GoldenSet, name: string, meaning: string): string {
  if (meaning.includes('cfg')) return meaning
  const [, main = ''] = /main: ([^;]+);/.exec(set.section('sampler.safetensors')) ?? []
  const changes: Record<string, [RegExp, string][]> = {
    main: [],
    no_rescale: [[/rescale [\d.]+/, 'rescale 0']],
    no_stg: [[/stg [\d.]+/, 'stg 0']],
    plain: [
      [/cfg [\d.]+/, 'cfg 1'],
      [/stg [\d.]+/, 'stg 0'],
      [/rescale [\d.]+/, 'rescale 0'],
    ],
    eight: [[/\d+ steps/, '8 steps']],
  }
  return (changes[name] ?? []).reduce((text, [pattern, value]) => text.replace(pattern, value), main)
}

describe.each(goldenSets)('$name', (set) => {
  const reference = set.numbers('sampler.safetensors')
  const base = openBase(set.base)
  let model: Transformer
  beforeAll(async () => {
    await startGoldenBackend()
    model = loadTransformer(base.components.transformer, base.config.transformer)
  })

  const { tensor } = reference

  const cases = casesOf(set, reference)

  describe.each(cases)('guided sampling, case $name', ({ name, perturbed, ...settings }) => {
    it('matches the reference at every step', async () => {
      const sampler = openSampler(model, perturbed)
      const latent = await sampler.sample({
        noise: tensor('noise'),
        reference: patchify(tensor('ref_latents')),
        context: tensor('ctx_pos'),
        negativeContext: tensor('ctx_neg'),
        ...settings,
        onStep: async (step, { predictions, denoised, tokens }) => {
          const state = {
            cond: predictions.conditional,
            neg: predictions.negative,
            stg: predictions.perturbed,
            denoised,
            x: tokens,
          }
          for (const [part, values] of Object.entries(state)) {
            const key = `${name}.step${step}.${part}`
            if (values && reference.names.includes(key)) await reference.expectTensor(key, values)
          }
        },
      })
      sampler.close()
      const [, channels = 0] = reference.shape(`${name}.latent`)
      await reference.expectTensor(`${name}.latent`, unpatchify(latent, channels))
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
})
