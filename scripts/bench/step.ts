/** `bench step`: training steps of the audio stream at the width of the released model, with random weights. */
import { currentBackend } from '../../src/engine/backend.ts'
import { currentPrecision } from '../../src/engine/precision.ts'
import { clipLatentFrames } from '../../src/model/audio-vae/latents.ts'
import type { Checkpointing } from '../../src/model/transformer/checkpointing.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { median } from '../../src/platform/statistics.ts'
import { floatingPointOperations } from './operations.ts'
import { syntheticBase } from './synthetic-base.ts'
import { peakGigabytes, secondsSince } from './timing.ts'
import { randomPair, timeTraining } from './training.ts'

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
  const pair = randomPair(frames, contextTokens)
  const { firstStepSeconds, otherSteps, rate } = await timeTraining(model, pair, { rank, steps })
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
