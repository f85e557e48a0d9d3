/** `bench step`: training steps of the audio stream at the width of the released model, with random weights. */
import * as tf from '@tensorflow/tfjs'
import { loraTargetModules } from '../../src/config/parameters.ts'
import type { EncodedPair } from '../../src/encode/dataset.ts'
import { currentBackend } from '../../src/engine/backend.ts'
import type { HostMatrix } from '../../src/engine/device-tensors.ts'
import { isNative } from '../../src/engine/native.ts'
import { matMul, toComputeDtype } from '../../src/engine/native-ops.ts'
import { currentPrecision } from '../../src/engine/precision.ts'
import { clipLatentFrames } from '../../src/model/audio-vae/latents.ts'
import type { Checkpointing } from '../../src/model/transformer/checkpointing.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { median } from '../../src/platform/statistics.ts'
import { createTrainer, type TrainerSettings } from '../../src/train/trainer.ts'
import { floatingPointOperations } from './operations.ts'
import { modelWidth } from './released.ts'
import { syntheticBase } from './synthetic-base.ts'
import { peakGigabytes, secondsSince } from './timing.ts'

export type StepBenchOptions = {
  blocks: number
  seconds: number
  steps: number
  rank: number
  contextTokens: number
  checkpointing?: Checkpointing
}

export type StepResult = {
  backend: string
  precision: string
  blocks: number
  tokens: number
  /** The median of all steps but the first. */
  secondsPerStep: number
  fastestStep: number
  loadSeconds: number
  firstStepSeconds: number
  /** The speed of one matrix product alone, in 10¹² operations per second. */
  matmulTeraflops: number
  /** The operations of the step's matrix products, divided by this speed. */
  floorSeconds: number
  ratioToFloor: number
  peakRssGigabytes: number
}

export async function benchStep({
  blocks,
  seconds,
  steps,
  rank,
  contextTokens,
  checkpointing,
}: StepBenchOptions): Promise<StepResult> {
  const loadStarted = performance.now()
  const { components, config } = syntheticBase(blocks)
  const model = loadTransformer(components.transformer, config.transformer, { checkpointing })
  const loadSeconds = secondsSince(loadStarted)
  const frames = clipLatentFrames(seconds)
  const trainer = createTrainer(model, [randomPair(frames, contextTokens)], trainerSettings(rank, steps + 1))
  const stepSeconds: number[] = []
  const rates = [measureMatmul()]
  await trainer.run({
    onStep: (report) => {
      stepSeconds.push(report.seconds)
      rates.push(measureMatmul())
    },
  })
  const [firstStepSeconds = 0, ...otherSteps] = stepSeconds
  const rate = median(rates)
  const secondsPerStep = median(otherSteps)
  const floorSeconds = floatingPointOperations({ blocks, tokens: 2 * frames, contextTokens, rank }) / rate
  return {
    backend: currentBackend(),
    precision: currentPrecision(),
    blocks,
    tokens: 2 * frames,
    secondsPerStep,
    fastestStep: Math.min(...otherSteps),
    loadSeconds,
    firstStepSeconds,
    matmulTeraflops: rate / 1e12,
    floorSeconds,
    ratioToFloor: secondsPerStep / floorSeconds,
    peakRssGigabytes: peakGigabytes(),
  }
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
export function measureMatmul(): number {
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
