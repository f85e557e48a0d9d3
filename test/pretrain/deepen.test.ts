import * as tf from '@tensorflow/tfjs'
import { beforeAll, expect, it } from 'vitest'
import { checkpointMetadata } from '../../scripts/base/configs.ts'
import { checkpointLayout } from '../../scripts/base/layout.ts'
import { type BaseSize, tinySize } from '../../scripts/base/sizes.ts'
import { asCheckpoint, type Tensors, valuesOf } from '../../scripts/base/tensors.ts'
import { initWeights } from '../../scripts/base/weights.ts'
import { deepen } from '../../scripts/pretrain/deepen.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { ltxComponents } from '../../src/model/checkpoint-layout.ts'
import { readModelConfig } from '../../src/model/config.ts'
import { loadTransformer, tokenRope, velocity } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'

beforeAll(() => startBackend('wasm'))

const shallow = initWeights(checkpointLayout(tinySize))
const block = 'model.diffusion_model.transformer_blocks.'

function predicted(tensors: Tensors, size: BaseSize): Float32Array {
  const checkpoint = asCheckpoint(tensors, checkpointMetadata(size, 'a test'))
  const config = readModelConfig(checkpoint)
  const model = loadTransformer(ltxComponents(checkpoint).transformer, config.transformer)
  const given = (name: string, rows: number, width: number) =>
    tf.tensor3d(normals(randomFor(7, name), rows * width), [1, rows, width])
  const seconds = Array.from({ length: 6 }, (_, i) => i / 25)
  const input = {
    tokens: given('tokens', 6, config.transformer.audio_in_channels),
    ...{ sigma: tf.tensor1d([0.7]), noisy: Array<1>(6).fill(1), rope: tokenRope(config.transformer, seconds) },
    context: given('context', 8, config.transformer.audio_cross_attention_dim),
  }
  return velocity(model, input).dataSync<'float32'>()
}

it('a deeper transformer computes the same, until its new blocks are trained', () => {
  const deeper = deepen(shallow, [0])
  expect([...deeper.keys()].filter((name) => name.startsWith(block))).toHaveLength(
    ([...shallow.keys()].filter((name) => name.startsWith(block)).length / 2) * 3,
  )
  expect(valuesOf(deeper, `${block}2.audio_attn1.to_q.weight`)).toEqual(
    valuesOf(shallow, `${block}1.audio_attn1.to_q.weight`),
  )
  const [before, after] = [predicted(shallow, tinySize), predicted(deeper, { ...tinySize, transformerBlocks: 3 })]
  for (const [i, value] of after.entries()) expect(value).toBeCloseTo(before[i] as number, 5)
})
