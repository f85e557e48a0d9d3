import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openBase } from '../../src/model/base-model.ts'
import { frameCenterSeconds, ropeTable } from '../../src/model/rope.ts'
import { type AdaLn, timestepEmbedding, timestepModulation } from '../../src/model/transformer/adaln.ts'
import {
  loadTransformer,
  type Transformer,
  type TransformerInput,
  tokenRope,
  velocities,
  velocity,
} from '../../src/model/transformer/transformer.ts'
import { golden, goldenSets, ltx23, numberAfter, startGoldenBackend } from './golden.ts'

const dit = golden('dit.safetensors')
const base = openBase(ltx23.base)
const config = base.config.transformer
let model: Transformer

beforeAll(async () => {
  await startGoldenBackend()
  model = loadTransformer(base.components.transformer, config)
})

describe('the timestep embedding', () => {
  const sigmas = () => dit.tensor<tf.Rank.R1>('time.t')

  it('has the cosines and sines of the reference', async () => {
    const timesteps = tf.mul<tf.Tensor1D>(sigmas(), config.timestep_scale_multiplier)
    await dit.expectTensor('time.sinusoid', timestepEmbedding(timesteps, dit.shape('time.sinusoid')[1] as number))
  })

  it.each(['audio_adaln_single', 'audio_prompt_adaln_single'] as const)(
    'has the modulation of %s of the reference',
    async (name) => {
      const layer = name === 'audio_adaln_single' ? model.adaLn : (model.contextAdaLn as AdaLn)
      const { embedding, modulation } = timestepModulation(layer, sigmas())
      await dit.expectTensor(`time.${name}.emb`, embedding)
      await dit.expectTensor(`time.${name}.mod`, modulation)
    },
  )
})

describe('the RoPE tables', () => {
  const middles = (name: string) => {
    const edges = dit.float32(name)
    return Float64Array.from(
      { length: edges.length / 2 },
      (_, i) => ((edges[2 * i] as number) + (edges[2 * i + 1] as number)) / 2,
    )
  }

  it.each(['short', 'concat'])('of the %s sequence match the reference', async (name) => {
    const expected = middles(`rope.${name}.positions`)
    const starts = Array.from(expected, (_, i) => i).filter(
      (i) => i === 0 || (expected[i] as number) < (expected[i - 1] as number),
    )
    const lengths = starts.map((start, i) => (starts[i + 1] ?? expected.length) - start)
    const actual = lengths.flatMap((length) => [...frameCenterSeconds(length)])
    actual.forEach((seconds, i) => {
      expect(seconds).toBeCloseTo(expected[i] as number, 5)
    })
    const { cos, sin } = tokenRope(config, actual)
    await dit.expectTensor(`rope.${name}.cos`, cos)
    await dit.expectTensor(`rope.${name}.sin`, sin)
  })

  it('of the released size match the reference', async () => {
    const [, heads = 0, , half = 0] = dit.shape('rope.real.cos')
    const index = dit.float32('rope.real.index')
    const all = frameCenterSeconds(Math.max(...index) + 1)
    const fractions = Array.from(index, (i) => (all[i] as number) / 20)
    const { cos, sin } = ropeTable(fractions, { heads, headDim: half * 2, theta: 10_000 })
    await dit.expectTensor('rope.real.cos', cos)
    await dit.expectTensor('rope.real.sin', sin)
  })

  it('of the connector match the reference', async () => {
    const [, heads = 0, , half = 0] = dit.shape('rope.connector.cos')
    const fractions = Array.from(
      dit.float32('rope.connector.index'),
      (i) => i / (config.connector_positional_embedding_max_pos[0] as number),
    )
    const { cos, sin } = ropeTable(fractions, {
      heads,
      headDim: half * 2,
      theta: config.positional_embedding_theta,
    })
    await dit.expectTensor('rope.connector.cos', cos)
    await dit.expectTensor('rope.connector.sin', sin)
  })
})

describe.each(goldenSets)('the velocity of $name', (set) => {
  const dit = set.numbers('dit.safetensors')
  const base = openBase(set.base)
  const config = base.config.transformer
  let model: Transformer
  beforeAll(() => {
    model = loadTransformer(base.components.transformer, config)
  })
  const { tensor } = dit

  const target = (sigma: tf.Tensor1D, context: tf.Tensor3D) => {
    const tokens = tensor<tf.Rank.R3>('a.latent')
    const frames = tokens.shape[1]
    const rope = tokenRope(config, frameCenterSeconds(frames))
    return velocity(model, { tokens, sigma, noisy: Array<1>(frames).fill(1), rope, context })
  }

  it('of a target without a reference clip matches the reference implementation', async () => {
    await dit.expectTensor('a.velocity', target(tensor('a.sigma'), tensor('a.context')))
  })

  it('of pure noise matches the reference implementation', async () => {
    await dit.expectTensor('a.velocity_sigma1', target(tf.ones([1]), tensor('a.context')))
  })

  it('with a caption of full length matches the reference implementation', async () => {
    const context = set.numbers('text.safetensors').tensor<tf.Rank.R2>('c1.context')
    await dit.expectTensor('a.velocity_ctx1024', target(tensor('a.sigma'), tf.expandDims(context, 0)))
  })

  const withReference = (): TransformerInput => {
    const timesteps = dit.float32('b.timesteps')
    const [, tokens = 0] = dit.shape('b.timesteps')
    const noisy = Array.from(timesteps.subarray(0, tokens), (timestep): 0 | 1 => (timestep === 0 ? 0 : 1))
    const references = noisy.indexOf(1)
    const rope = tokenRope(config, [...frameCenterSeconds(references), ...frameCenterSeconds(tokens - references)])
    return { tokens: tensor('b.latent'), sigma: tensor('b.sigma'), noisy, rope, context: tensor('b.context') }
  }

  it('of reference clip and target matches the reference implementation in every block', async () => {
    const blocks = new Map<string, tf.Tensor>()
    const onBlock = (i: number, x: tf.Tensor3D) =>
      void blocks.set(i < 0 ? 'b.patchified' : `b.block${i}`, tf.keep(x.clone()))
    const result = velocity(model, { ...withReference(), onBlock })
    expect(blocks.size).toBe(model.blocks.length + 1)
    for (const [name, x] of blocks) await dit.expectTensor(name, x)
    await dit.expectTensor('b.velocity', result)
  })

  it('with and without perturbed self-attention in one block matches the reference implementation', async () => {
    const block = numberAfter(dit.meaning('b.velocity_stg'), 'block')
    const { plain, perturbed } = velocities(model, withReference(), (i) => i === block)
    await dit.expectTensor('b.velocity_stg', perturbed)
    await dit.expectTensor('b.velocity', plain)
  })

  it('with perturbed self-attention in all blocks matches the reference implementation', async () => {
    await dit.expectTensor('b.velocity_stg_all', velocities(model, withReference(), () => true).perturbed)
  })

  it('is unchanged when no block is perturbed', async () => {
    const { plain, perturbed } = velocities(model, withReference(), () => false)
    expect(await perturbed.data()).toEqual(await plain.data())
  })
})
