import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import type { TensorInfo } from '../../src/checkpoint/header.ts'
import {
  type Demand,
  engineOf,
  requireFit,
  requirementLines,
  requirementsOf,
  type Supply,
} from '../../src/commands/requirements.ts'
import { audioModules } from '../../src/config/parameters.ts'
import { startBackend } from '../../src/engine/backend.ts'
import { UserError } from '../../src/errors.ts'
import { openBaseModel } from '../../src/model/base-model.ts'
import { detachLora } from '../../src/model/lora.ts'
import { contextLength } from '../../src/model/text/tokenizer.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/random.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { goldenJson } from '../golden/golden.ts'

type Group = { prefix: string; count: number; names: Record<string, [string, number[]]> }

const base = openBaseModel()
const wasm = engineOf('wasm', 'float32')
const demand: Demand = {
  rank: 32,
  audioDurationSeconds: 5,
  targetModules: audioModules,
  numberOfSteps: 2000,
  checkpointInterval: 250,
  previewInterval: 250,
  clips: 20,
  texts: 12,
  previews: 2,
}
const plenty: Supply = { memory: 64e9, freeMemory: 64e9, runDisk: 1e12, cacheDisk: 1e12 }

describe('what a run takes', () => {
  beforeAll(async () => {
    await startBackend('wasm')
  })

  it.each([0.5, 2, 5])('is what a step of %d s really keeps, give or take a third', async (seconds) => {
    const frames = Math.round(25 * seconds) + 1
    const matrix = (name: string, rows: number, columns: number) => ({
      shape: [rows, columns] as [number, number],
      values: normals(randomFor(1, name), rows * columns),
    })
    const { audio_in_channels: patch, audio_cross_attention_dim: width } = base.config.transformer
    const model = loadTransformer(base.components.transformer, base.config.transformer)
    const pair = {
      name: 'pair',
      target: matrix('a', frames, patch),
      reference: matrix('b', frames, patch),
      context: matrix('c', contextLength, width),
    }
    const trainer = createTrainer(model, [pair], {
      ...{ rank: 8, alpha: 8, targetModules: audioModules, seed: 1, steps: 1 },
      ...{ learningRate: 1e-4, schedule: 'constant', accumulation: 1 },
    })
    const before = tf.memory().numBytes
    const { peakBytes } = await tf.profile(async () => {
      await trainer.run({})
      return tf.scalar(0)
    })
    trainer.dispose()
    detachLora(model)
    const { step } = requirementsOf(base, { ...demand, audioDurationSeconds: seconds }, wasm)
    expect((peakBytes - before) / step).toBeGreaterThan(2 / 3)
    expect((peakBytes - before) / step).toBeLessThan(4 / 3)
  })

  it('grows with the rank as the files do', () => {
    const small = requirementsOf(base, demand, wasm)
    const large = requirementsOf(base, { ...demand, rank: 64 }, wasm)
    expect(large.trained).toBe(2 * small.trained)
    const width = base.config.transformer.audio_cross_attention_dim
    const perBlock = 32 * (8 * 2 * width + 2 * 5 * width)
    expect(small.trained).toBe(16 * perBlock * base.config.transformer.num_layers)
  })

  it('is about 13 GB for the released model, 5 s and rank 32 in bfloat16 on native TensorFlow', () => {
    const { groups, tensors } = goldenJson('manifest-22b-audio.json')
    const names = groups.flatMap(({ prefix, count, names }: Group) =>
      Array.from({ length: count }, (_, i) =>
        Object.entries(names).map(([name, entry]) => [`${prefix}${i}.${name}`, entry]),
      ).flat(),
    )
    const shapes = [...names, ...Object.entries(tensors)].map(([name, [dtype, shape]]) => [name, { dtype, shape }])
    const sizes = {
      num_layers: 48,
      audio_num_attention_heads: 32,
      audio_attention_head_dim: 64,
      audio_cross_attention_dim: 2048,
    }
    const released = {
      ...base,
      checkpoint: { ...base.checkpoint, tensors: new Map(shapes as [string, TensorInfo][]) },
      config: { ...base.config, transformer: { ...base.config.transformer, ...sizes } },
    }
    const { memory, trained, weights } = requirementsOf(released, demand, engineOf('tensorflow', 'bfloat16'))
    expect(weights).toBe(2 * 3_286_408_320)
    expect(trained).toBe(16 * 81_788_928)
    expect(memory / 1e9).toBeGreaterThan(12)
    expect(memory / 1e9).toBeLessThan(14)
    expect(() => requireFit(released, demand, wasm, { ...plenty, memory: 2 ** 32 })).toThrow(
      /needs about \d+\.\d\d GB of memory, but the wasm backend has 4\.29 GB at most/,
    )
  })

  it('is told in two lines', () => {
    expect(requirementLines(requirementsOf(base, demand, wasm), plenty)).toEqual([
      expect.stringMatching(
        /^Memory: about \d+ MB of 64\.00 GB \(weights [\d.]+ MB, LoRA and optimizer [\d.]+ MB, a step \d+ MB\)$/,
      ),
      expect.stringMatching(/^Disk: about \d+ MB for the run, [\d.]+ MB for the cache, of 1000\.00 GB$/),
    ])
  })
})

describe('a run that cannot fit', () => {
  const refusal = (supply: Partial<Supply>, of: Demand = demand, engine: Parameters<typeof requireFit>[2] = wasm) => {
    try {
      requireFit(base, of, engine, { ...plenty, ...supply })
    } catch (error) {
      if (error instanceof UserError) return `${error.message} / ${error.hint}`
      throw error
    }
    return 'it fits'
  }

  it('is told shorter clips or a smaller rank that would', () => {
    expect(refusal({})).toBe('it fits')
    expect(refusal({ memory: 450e6 })).toMatch(
      /^this run needs about \d+ MB of memory, but this machine has 450 MB at most \/ it would fit with --audio-duration-seconds [\d.]+ \(\d+ MB\)$/,
    )
    const { memory } = requirementsOf(base, { ...demand, rank: 16 }, wasm)
    expect(refusal({ memory })).toMatch(/it would fit with --rank 16 /)
  })

  it('is told so where nothing would', () => {
    expect(refusal({ memory: 1e6 })).toMatch(/no settings make it fit: this base needs|set up native TensorFlow/)
    expect(refusal({ memory: 1e6 }, demand, engineOf('cpu', 'float32'))).toMatch(
      /no settings make it fit: this base needs a machine with more memory$/,
    )
  })

  it('is refused for want of disk, too', () => {
    expect(refusal({ runDisk: 1000 })).toMatch(
      /^this run needs \d+ MB of disk, but 0\.0 MB are free \/ choose another disk/,
    )
    expect(refusal({ cacheDisk: 1000 })).toMatch(/of disk/)
  })
})
