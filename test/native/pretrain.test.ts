/** Pretraining of the audio stream; it captures the step, which needs native TensorFlow. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs'
import { afterEach, describe, expect, it } from 'vitest'
import { checkpointMetadata } from '../../scripts/base/configs.ts'
import { checkpointLayout } from '../../scripts/base/layout.ts'
import { tinySize } from '../../scripts/base/sizes.ts'
import { type Tensors, valuesOf } from '../../scripts/base/tensors.ts'
import { initWeights } from '../../scripts/base/weights.ts'
import { makeTrainable } from '../../scripts/pretrain/trainable.ts'
import { runTrainingLoop } from '../../scripts/pretrain/training-loop.ts'
import {
  isTransformerWeight,
  loadAudioStream,
  type TrainingPair,
  transformerBatch,
} from '../../scripts/pretrain/transformer.ts'
import { pairRope, velocityLoss } from '../../src/diffusion/flow-matching.ts'
import { startBackend } from '../../src/engine/backend.ts'
import type { HostMatrix } from '../../src/engine/device-tensors.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { hasNative } from '../engine/native.ts'
import { needsNative } from '../needs.ts'

const frames = 6
const seed = 5

const randomMatrix = (name: string, rows: number, columns: number): HostMatrix => ({
  shape: [rows, columns],
  values: normals(randomFor(seed, name), rows * columns),
})

/** Trains in several runs, each up to the given number of steps, with the same state file. Returns the loss of each step. */
async function train(tensors: Tensors, runs: readonly number[]): Promise<number[]> {
  const state = join(mkdtempSync(join(tmpdir(), 'pretrain-')), 'state')
  const losses: number[] = []
  for (const steps of runs) {
    await startBackend('tensorflow', { precision: 'float32' })
    const model = makeTrainable(tensors, checkpointMetadata(tinySize, 'a test'), loadAudioStream, isTransformerWeight)
    const { audio_in_channels: channels, audio_cross_attention_dim: width } = model.component.config
    const pair: TrainingPair = {
      reference: randomMatrix('reference', frames, channels),
      target: randomMatrix('target', frames, channels),
      context: randomMatrix('context', 8, width),
    }
    const rope = pairRope(model.component, frames, frames)
    runTrainingLoop({
      trainable: model,
      inputsAt: (step) => transformerBatch([pair], { seed, step, batch: 2, contextRows: 8 }),
      lossOf: (example) => ({ loss: velocityLoss(model.component, example, rope) }),
      ...{ steps, learningRate: 0.02, state },
      onStep: (_, { loss }) => losses.push(loss as number),
    })
    if (steps === runs.at(-1)) model.store()
    tf.disposeVariables()
  }
  return losses
}

afterEach(() => tf.disposeVariables())

describe('pretraining the audio stream', () => {
  it.skipIf(!hasNative)('reduces the loss and can be resumed', needsNative, async () => {
    const tensors = initWeights(checkpointLayout(tinySize))
    const before = new Map([...tensors.keys()].map((name) => [name, valuesOf(tensors, name)]))
    const losses = await train(tensors, [15, 30])
    expect(losses).toHaveLength(30)
    expect(Math.max(...losses.slice(-5))).toBeLessThan(0.9 * Math.min(...losses.slice(0, 5)))
    for (const [name, values] of before) {
      if (isTransformerWeight(name)) expect(valuesOf(tensors, name), name).not.toEqual(values)
      else expect(valuesOf(tensors, name), name).toEqual(values)
    }
  })
})
