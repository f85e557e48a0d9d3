/** `bench bundled`: a training step and a step of sampling with the bundled base. */
import { openSampler } from '../../src/diffusion/sampler.ts'
import { currentBackend } from '../../src/engine/backend.ts'
import { clipLatentFrames } from '../../src/model/audio-vae/latents.ts'
import { openBase } from '../../src/model/base-model.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { median } from '../../src/platform/statistics.ts'
import { generateLatents } from '../../src/preview/render.ts'
import { createTrainer } from '../../src/train/trainer.ts'
import { floatingPointOperations } from './operations.ts'
import { measureMatmul, randomMatrix, randomPair, trainerSettings } from './step.ts'
import { type Duration, medianDuration, peakGigabytes, startTimer } from './timing.ts'

export type BundledBenchOptions = { seconds: number; steps: number; rank: number; contextTokens: number }

export type BundledResult = {
  backend: string
  tokens: number
  /** The medians of all steps but the first. A step of sampling has three passes: prompt, negative prompt, perturbed self-attention. */
  step: Duration
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
  const { num_layers: blocks, audio_cross_attention_dim: width } = base.config.transformer
  const model = loadTransformer(base.components.transformer, base.config.transformer)
  const frames = clipLatentFrames(seconds)
  const trainer = createTrainer(model, [randomPair(frames, contextTokens, width)], trainerSettings(rank, steps + 1))
  const durations: Duration[] = []
  const rates = [measureMatmul()]
  let timer = startTimer()
  await trainer.run({
    onStep: () => {
      durations.push(timer())
      rates.push(measureMatmul())
      timer = startTimer()
    },
  })
  trainer.dispose()
  const rate = median(rates)
  const step = medianDuration(durations.slice(1))
  const floorSeconds = floatingPointOperations({ blocks, tokens: 2 * frames, contextTokens, rank, width }) / rate
  return {
    backend: currentBackend(),
    tokens: 2 * frames,
    step,
    samplingStep: await timeSampling(model, { frames, steps, contextTokens, width }),
    matmulTeraflops: rate / 1e12,
    floorSeconds,
    ratioToFloor: step.seconds / floorSeconds,
    peakRssGigabytes: peakGigabytes(),
  }
}

type SamplingSize = { frames: number; steps: number; contextTokens: number; width: number }

async function timeSampling(
  model: ReturnType<typeof loadTransformer>,
  { frames, steps, contextTokens, width }: SamplingSize,
): Promise<Duration> {
  const sampler = openSampler(model)
  const durations: Duration[] = []
  let timer = startTimer()
  const request = {
    reference: randomMatrix('reference', frames, 128),
    context: randomMatrix('context', contextTokens, width),
    negativeContext: randomMatrix('negative context', contextTokens, width),
    ...{ frames, steps: Math.max(2, steps), seed: 1, guidance: { cfg: 7, stg: 1, rescale: 0.7 } },
  }
  await generateLatents(sampler, request, () => {
    durations.push(timer())
    timer = startTimer()
  })
  sampler.close()
  return medianDuration(durations.slice(1))
}
