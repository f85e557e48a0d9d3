/** `bench bundled`: training steps and steps of sampling with the bundled base. */
import { currentBackend } from '../../src/engine/backend.ts'
import { clipLatentFrames } from '../../src/model/audio-vae/latents.ts'
import { openBase } from '../../src/model/base-model.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { median } from '../../src/platform/statistics.ts'
import { floatingPointOperations } from './operations.ts'
import { timeSampling } from './sampling.ts'
import { type Duration, medianDuration, peakGigabytes } from './timing.ts'
import { randomPair, timeTraining } from './training.ts'

export type BundledBenchOptions = { seconds: number; steps: number; rank: number; contextTokens: number }

export type BundledResult = {
  backend: string
  tokens: number
  /** The medians of all steps but the first. */
  secondsPerStep: number
  samplingStep: Duration
  matmulTeraflops: number
  floorSeconds: number
  /** Of the training step. */
  ratioToFloor: number
  peakRssGigabytes: number
}

export async function benchBundled(options: BundledBenchOptions): Promise<BundledResult> {
  const { seconds, steps, rank, contextTokens } = options
  const base = openBase()
  const { transformer } = base.config
  const model = loadTransformer(base.components.transformer, transformer)
  const tokens = 2 * clipLatentFrames(seconds)
  const contextWidth = transformer.audio_cross_attention_dim
  const pair = randomPair(tokens / 2, contextTokens, contextWidth)
  const { otherSteps, rate } = await timeTraining(model, pair, { rank, steps })
  const secondsPerStep = median(otherSteps)
  const width = transformer.audio_num_attention_heads * transformer.audio_attention_head_dim
  const floorSeconds =
    floatingPointOperations({ blocks: transformer.num_layers, tokens, contextTokens, rank, width }) / rate
  const { durations } = await timeSampling(model, { seconds, steps, contextTokens, width: contextWidth })
  return {
    backend: currentBackend(),
    tokens,
    secondsPerStep,
    samplingStep: medianDuration(durations.slice(1)),
    matmulTeraflops: rate / 1e12,
    floorSeconds,
    ratioToFloor: secondsPerStep / floorSeconds,
    peakRssGigabytes: peakGigabytes(),
  }
}
