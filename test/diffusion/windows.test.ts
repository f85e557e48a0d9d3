import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openSampler, type Sampler } from '../../src/diffusion/sampler.ts'
import { sampleWindows, windowOffsets, windowPasses, windowWeights } from '../../src/diffusion/windows.ts'
import { fromBatch, type HostMatrix, toBatch } from '../../src/engine/device-tensors.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { startGoldenBackend } from '../golden/golden.ts'
import { loadSmallModel } from '../train/small-model.ts'

const matrix = (name: string, rows: number, columns: number): HostMatrix => ({
  shape: [rows, columns],
  values: normals(randomFor(1, name), rows * columns),
})
const guidance = { cfg: 1, stg: 0, rescale: 0 }

describe('the windows of a step', () => {
  it('begin every hop, and end with the recording', () => {
    expect(windowOffsets(140, 56, 0)).toEqual([0, 49, 84])
    expect(windowOffsets(140, 56, 2)).toEqual([0, 49, 84])
    expect(windowOffsets(154, 56, 4)).toEqual([0, 49, 98])
  })

  it('are shifted by half a hop at odd steps', () => {
    expect(windowOffsets(140, 56, 1)).toEqual([0, 24, 73, 84])
  })

  it('are one where the recording is as long as a window', () => {
    expect([0, 1].map((step) => windowOffsets(56, 56, step))).toEqual([[0], [0]])
  })

  it('cover every frame, and none lies outside', () => {
    for (const window of [1, 2, 3, 26, 126])
      for (let frames = window; frames < 4 * window + 5; frames++)
        for (const step of [0, 1]) {
          const offsets = windowOffsets(frames, window, step)
          const covered = new Set(offsets.flatMap((offset) => Array.from({ length: window }, (_, i) => offset + i)))
          expect([...covered].sort((a, b) => a - b)).toEqual(Array.from({ length: frames }, (_, i) => i))
        }
  })

  it('are counted over all steps', () => {
    expect(windowPasses(140, 56, 3)).toBe(3 + 4 + 3)
    expect(windowPasses(40, 56, 8)).toBe(8)
  })

  it('have weights that rise and fall over the overlap', () => {
    expect([...windowWeights(16)]).toEqual([0.25, 0.75, ...Array(12).fill(1), 0.75, 0.25])
    expect([...windowWeights(1)]).toEqual([0.5])
  })
})

describe('sampling in windows', () => {
  beforeAll(startGoldenBackend)

  const reference = matrix('reference', 20, 128)
  const inputs = {
    noise: matrix('noise', 20, 128),
    reference,
    context: matrix('context', 8, 64),
    negativeContext: matrix('negative', 8, 64),
  }

  /** Predicts that all values of the n-th window are n. */
  const countingSampler = (): Sampler => {
    let count = 0
    return { sample: () => Promise.reject(), predict: ({ noisy }) => tf.fill(noisy.shape, ++count), close: () => {} }
  }

  it('averages the predictions of overlapping windows with their weights', async () => {
    const sampled = await sampleWindows(countingSampler(), { ...inputs, window: 16, steps: 1, guidance })
    const column = Array.from({ length: 20 }, (_, frame) => sampled.values[frame * 128])
    // the windows begin at 0 and 4 and have predicted 1 and 2
    const weights = windowWeights(16)
    const mean = Array.from({ length: 20 }, (_, frame) => {
      const [first, second] = [weights[frame] ?? 0, weights[frame - 4] ?? 0]
      return (first + 2 * second) / (first + second)
    })
    expect([mean[0], mean[10], mean[19]]).toEqual([1, 1.5, 2])
    column.forEach((value, frame) => {
      expect(value).toBeCloseTo(mean[frame] as number, 5)
    })
  })

  it('gives every window its part of the noise and of the reference', async () => {
    const seen: number[][] = []
    const sampler: Sampler = {
      ...countingSampler(),
      predict: ({ noisy, reference }) => {
        seen.push([noisy, reference].map((tensor) => tensor.dataSync()[0] as number))
        return reference.clone()
      },
    }
    const sampled = await sampleWindows(sampler, { ...inputs, window: 16, steps: 1, guidance })
    const first = ({ values }: HostMatrix, frame: number) => values[frame * 128]
    expect(seen).toEqual([0, 4].map((frame) => [first(inputs.noise, frame), first(reference, frame)]))
    sampled.values.forEach((value, i) => {
      expect(value).toBeCloseTo(reference.values[i] as number, 5)
    })
  })

  it('of a single window is sampling without windows, with all kinds of guidance', async () => {
    const model = loadSmallModel()
    const sampler = openSampler(model)
    const settings = { steps: 3, guidance: { cfg: 3, stg: 1, rescale: 0.7 } }
    const before = tf.memory().numTensors
    const done: [number, number][] = []
    const onWindow = (count: number, total: number) => void done.push([count, total])
    const windowed = await sampleWindows(sampler, { ...inputs, ...settings, window: 30, onWindow })
    const tensors = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, toBatch(value)]))
    const plain = await fromBatch(
      await sampler.sample({ ...(tensors as Record<keyof typeof inputs, tf.Tensor3D>), ...settings }),
    )
    tf.dispose(tensors)
    expect(windowed.values).toEqual(plain.values)
    expect(done).toEqual([1, 2, 3].map((count) => [count, 3]))
    sampler.close()
    expect(tf.memory().numTensors).toBeLessThanOrEqual(before)
  })
})
