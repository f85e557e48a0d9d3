/** Training steps with random data, and the speed of a matrix product between them. */
import * as tf from '@tensorflow/tfjs'
import { loraTargetModules } from '../../src/config/parameters.ts'
import type { EncodedPair } from '../../src/encode/dataset.ts'
import type { HostMatrix } from '../../src/engine/device-tensors.ts'
import { isNative } from '../../src/engine/native.ts'
import { matMul, toComputeDtype } from '../../src/engine/native-ops.ts'
import type { Transformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { median } from '../../src/platform/statistics.ts'
import { createTrainer, type TrainerSettings } from '../../src/train/trainer.ts'
import { modelWidth } from './released.ts'
import { secondsSince } from './timing.ts'

export type TrainingTimes = {
  firstStepSeconds: number
  otherSteps: number[]
  /** The speed of one matrix product alone, in operations per second. */
  rate: number
}

/** @param steps how many steps are timed besides the first. */
export async function timeTraining(
  model: Transformer,
  pair: EncodedPair,
  { rank, steps }: { rank: number; steps: number },
): Promise<TrainingTimes> {
  const trainer = createTrainer(model, [pair], trainerSettings(rank, steps + 1))
  const stepSeconds: number[] = []
  const rates = [measureMatmul()]
  await trainer.run({
    onStep: ({ seconds }) => {
      stepSeconds.push(seconds)
      rates.push(measureMatmul())
    },
  })
  trainer.dispose()
  const [firstStepSeconds = 0, ...otherSteps] = stepSeconds
  return { firstStepSeconds, otherSteps, rate: median(rates) }
}

export const randomPair = (frames: number, contextTokens: number, width = modelWidth): EncodedPair => ({
  name: 'random',
  target: randomMatrix('target', frames, 128),
  reference: randomMatrix('reference', frames, 128),
  context: randomMatrix('context', contextTokens, width),
})

export const randomMatrix = (name: string, rows: number, columns: number): HostMatrix => ({
  shape: [rows, columns],
  values: normals(randomFor(1, name), rows * columns),
})

export const trainerSettings = (rank: number, steps: number): TrainerSettings => ({
  rank,
  alpha: rank,
  targetModules: loraTargetModules,
  seed: 1,
  steps,
  learningRate: 1e-4,
  schedule: 'constant',
  accumulation: 1,
})

/** Floating-point operations per second of one matrix product of the size of the context through a layer, in the model's precision. */
function measureMatmul(): number {
  const [rows, columns] = [1024, modelWidth]
  const [x, weight] = tf.tidy(() => {
    const random = [tf.randomNormal([rows, columns]), tf.randomNormal([columns, columns])] as const
    return random.map((x) => (isNative() ? toComputeDtype(x) : x)) as [tf.Tensor2D, tf.Tensor2D]
  })
  const times = Array.from({ length: 12 }, () => {
    const started = performance.now()
    const product = isNative() ? matMul(x, weight, { transposeB: true }) : tf.matMul(x, weight)
    if (!isNative()) product.dataSync()
    const seconds = secondsSince(started)
    product.dispose()
    return seconds
  })
  tf.dispose([x, weight])
  return (2 * rows * columns * columns) / median(times)
}
