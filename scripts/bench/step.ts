/** One training step of the released model's audio stream at its real width, on random weights. */
import * as tf from '@tensorflow/tfjs'
import type { EncodedPair } from '../../src/encode/dataset.ts'
import { currentBackend } from '../../src/engine/backend.ts'
import { isNative } from '../../src/engine/native.ts'
import { matMul, toComputeDtype } from '../../src/engine/native-ops.ts'
import { currentPrecision } from '../../src/engine/precision.ts'
import type { Checkpointing } from '../../src/model/transformer/checkpointing.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { createTrainer, type TrainerSettings } from '../../src/train/trainer.ts'
import { median, peakGigabytes, since } from './clock.ts'
import { stepOperations } from './operations.ts'
import { width } from './released.ts'
import { syntheticBase } from './synthetic-base.ts'

export type StepBench = {
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
  secondsPerStep: number
  fastestStep: number
  loadSeconds: number
  firstStepSeconds: number
  matmulTeraflops: number
  floorSeconds: number
  ratioToFloor: number
  peakRssGigabytes: number
}

const latentsPerSecond = 25

/** The ten layers of the audio stream that are trained by default. */
export const targets = [
  ...['audio_attn1', 'audio_attn2'].flatMap((attention) =>
    ['to_q', 'to_k', 'to_v', 'to_out.0'].map((layer) => `${attention}.${layer}`),
  ),
  'audio_ff.net.0.proj',
  'audio_ff.net.2',
]

export async function benchStep({
  blocks,
  seconds,
  steps,
  rank,
  contextTokens,
  checkpointing,
}: StepBench): Promise<StepResult> {
  const loading = performance.now()
  const { components, config } = syntheticBase(blocks)
  const model = loadTransformer(components.transformer, config.transformer, { checkpointing })
  const loadSeconds = since(loading)
  const frames = Math.ceil(seconds * latentsPerSecond) + 1
  const trainer = createTrainer(model, [randomPair(frames, contextTokens)], settings(rank, steps + 1))
  const times: number[] = []
  const rates = [matmulRate()]
  await trainer.run({
    onStep: (report) => {
      times.push(report.seconds)
      rates.push(matmulRate())
    },
  })
  const [firstStepSeconds = 0, ...warm] = times
  const rate = median(rates)
  const secondsPerStep = median(warm)
  const floorSeconds = stepOperations({ blocks, tokens: 2 * frames, contextTokens, rank }) / rate
  return {
    backend: currentBackend(),
    precision: currentPrecision(),
    blocks,
    tokens: 2 * frames,
    secondsPerStep,
    fastestStep: Math.min(...warm),
    loadSeconds,
    firstStepSeconds,
    matmulTeraflops: rate / 1e12,
    floorSeconds,
    ratioToFloor: secondsPerStep / floorSeconds,
    peakRssGigabytes: peakGigabytes(),
  }
}

export function randomPair(frames: number, contextTokens: number): EncodedPair {
  const matrix = (name: string, rows: number, columns: number) => ({
    shape: [rows, columns] as [number, number],
    values: normals(randomFor(1, name), rows * columns),
  })
  return {
    name: 'random',
    target: matrix('target', frames, 128),
    reference: matrix('reference', frames, 128),
    context: matrix('context', contextTokens, width),
  }
}

export const settings = (rank: number, steps: number): TrainerSettings => ({
  rank,
  alpha: rank,
  targetModules: targets,
  seed: 1,
  steps,
  learningRate: 1e-4,
  schedule: 'constant',
  accumulation: 1,
})

/** Operations a second of a product as the model has them, in the model's precision: tokens of the context through a layer. */
function matmulRate(): number {
  const [rows, columns] = [1024, width]
  const [x, weight] = tf.tidy(() => {
    const random = [tf.randomNormal([rows, columns]), tf.randomNormal([columns, columns])] as const
    return random.map((x) => (isNative() ? toComputeDtype(x) : x)) as [tf.Tensor2D, tf.Tensor2D]
  })
  const times = Array.from({ length: 12 }, () => {
    const started = performance.now()
    const product = isNative() ? matMul(x, weight, { transposeB: true }) : tf.matMul(x, weight)
    if (!isNative()) product.dataSync()
    const seconds = since(started)
    product.dispose()
    return seconds
  })
  tf.dispose([x, weight])
  return (2 * rows * columns * columns) / median(times)
}
