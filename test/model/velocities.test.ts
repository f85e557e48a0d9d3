import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { toBatch } from '../../src/engine/device-tensors.ts'
import { frameCenterSeconds } from '../../src/model/rope.ts'
import { type Transformer, tokenRope, velocities } from '../../src/model/transformer/transformer.ts'
import { startGoldenBackend } from '../golden/golden.ts'
import { loadSmallModel, smallPairs } from '../train/small-model.ts'

describe('the plain and the perturbed velocity', () => {
  let model: Transformer
  beforeAll(async () => {
    await startGoldenBackend()
    model = loadSmallModel()
  })

  /** The number of softmaxes: one per attention, except for perturbed self-attention. */
  async function softmaxes(isPerturbed: (block: number) => boolean): Promise<number> {
    const [pair] = smallPairs(1)
    if (!pair) throw new Error('there is no pair')
    const frames = pair.target.shape[0]
    const { kernels } = await tf.profile(() => {
      const { plain } = velocities(
        model,
        {
          tokens: toBatch(pair.target),
          sigma: tf.tensor1d([0.5]),
          noisy: Array<1>(frames).fill(1),
          rope: tokenRope(model.config, frameCenterSeconds(frames)),
          context: toBatch(pair.context),
        },
        isPerturbed,
      )
      return plain
    })
    return kernels.filter(({ name }) => name === 'Softmax').length
  }

  it('share the blocks before the first perturbed one', async () => {
    const blocks = model.blocks.length
    expect(blocks).toBeGreaterThan(1)
    expect(await softmaxes(() => false)).toBe(2 * blocks)
    expect(await softmaxes((block) => block === blocks - 1)).toBe(2 * blocks + 1)
    expect(await softmaxes((block) => block === 0)).toBe(2 * blocks + 2 * (blocks - 1) + 1)
  })
})
