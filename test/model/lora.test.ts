import * as tf from '@tensorflow/tfjs'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startBackend } from '../../src/engine/backend.ts'
import type { Linear } from '../../src/model/layers.ts'
import { attachNewLora, isTargetModule, matchTargets } from '../../src/model/lora.ts'
import { randomFor } from '../../src/platform/random.ts'

describe('a target module', () => {
  const name = 'transformer_blocks.0.audio_attn1.to_out.0'

  it('is the full name of a layer or a suffix of it after a dot', () => {
    for (const target of [name, 'audio_attn1.to_out.0', 'to_out.0', '0'])
      expect(isTargetModule(name, target)).toBe(true)
  })

  it.each(['audio_attn1', 'audio_attn1.to_out', 'to_out', 'attn1.to_out.0', 'out.0', 'transformer_blocks.0', '', '.0'])(
    'is not the string %j within the name',
    (target) => expect(isTargetModule(name, target)).toBe(false),
  )

  it('selects each matching layer once, in the order of the model', () => {
    const layers = ['blocks.0.attn.to_k', 'blocks.0.attn.to_q', 'blocks.1.attn.to_q', 'blocks.1.attn.to_q.norm']
    const found = matchTargets(
      layers.map((name) => ({ name })),
      ['to_q', 'attn.to_q', 'blocks.0.attn.to_k'],
    )
    expect(found.map(({ name }) => name)).toEqual(layers.slice(0, 3))
    expect(() => matchTargets([{ name: 'blocks.0.attn.to_q.norm' }], ['to_q'])).toThrow(/to_q matches no layer/)
  })
})

describe('a new LoRA', () => {
  beforeAll(() => startBackend('wasm'))
  afterEach(() => tf.disposeVariables())

  const linear = (name: string, outputs: number, inputs: number): Linear => ({
    name,
    weight: { shape: [outputs, inputs], stored: tf.zeros([outputs, inputs]) },
  })

  /** Attaches a LoRA to two layers whose inputs, outputs and rank are all different. */
  const attach = (seed = 1) => {
    const linears = [linear('blocks.0.up', 200, 25), linear('blocks.0.down', 25, 100)]
    const parameters = attachNewLora(linears, 64, 16, randomFor(seed, 'lora'))
    return { linears, parameters, values: [...parameters.values()].map((variable) => [...variable.dataSync()]) }
  }

  it('has a uniform A between ±1/√inputs', () => {
    const { values } = attach()
    for (const [factor, inputs] of [
      [values[0], 25],
      [values[2], 100],
    ] as [number[], number][]) {
      const bound = 1 / Math.sqrt(inputs)
      const squares = factor.reduce((sum, value) => sum + value * value, 0) / factor.length
      expect(factor).toHaveLength(64 * inputs)
      expect(Math.max(...factor) / bound).toBeGreaterThan(0.99)
      expect(Math.min(...factor) / bound).toBeLessThan(-0.99)
      expect(Math.max(...factor.map(Math.abs)) / bound).toBeLessThanOrEqual(1 + 1e-6)
      expect(Math.sqrt(squares) / bound).toBeCloseTo(1 / Math.sqrt(3), 1)
    }
  })

  it('has a zero B and the scale alpha / rank', () => {
    const { linears, values } = attach()
    expect(new Set([...(values[1] ?? []), ...(values[3] ?? [])])).toEqual(new Set([0]))
    expect(linears.map(({ lora }) => [lora?.a.shape, lora?.b.shape, lora?.scale])).toEqual([
      [[64, 25], [200, 64], 0.25],
      [[64, 100], [25, 64], 0.25],
    ])
  })

  it('has parameter names as in the file, and different values for each layer and seed', () => {
    const { parameters, values } = attach()
    expect([...parameters.keys()]).toEqual(
      ['up', 'down'].flatMap((name) =>
        ['A', 'B'].map((side) => `diffusion_model.blocks.0.${name}.lora_${side}.weight`),
      ),
    )
    expect(values[2]?.slice(0, 5).map((value) => 2 * value)).not.toEqual(values[0]?.slice(0, 5))
    tf.disposeVariables()
    expect(attach(2).values[0]).not.toEqual(values[0])
  })
})
