/** Steps of sampling with random inputs and both kinds of guidance. */
import { openSampler } from '../../src/diffusion/sampler.ts'
import type { HostMatrix } from '../../src/engine/device-tensors.ts'
import { targetLatentFrames } from '../../src/model/audio-vae/latents.ts'
import type { Transformer } from '../../src/model/transformer/transformer.ts'
import { generateLatents } from '../../src/preview/render.ts'
import { type Duration, startTimer } from './timing.ts'
import { randomMatrix } from './training.ts'

/** `width` is that of the text. */
export type SamplingSize = { seconds: number; steps: number; contextTokens: number; width: number }

/** A step has three passes: prompt, negative prompt, perturbed self-attention. The first one includes the capture of the graph. */
export async function timeSampling(
  model: Transformer,
  { seconds, steps, contextTokens, width }: SamplingSize,
): Promise<{ latents: HostMatrix; durations: Duration[] }> {
  const request = {
    reference: randomMatrix('reference', Math.ceil(25 * seconds) + 1, 128),
    context: randomMatrix('context', contextTokens, width),
    negativeContext: randomMatrix('negative context', contextTokens, width),
    frames: targetLatentFrames(seconds),
    steps: Math.max(2, steps),
    seed: 1,
    guidance: { cfg: 7, stg: 1, rescale: 0.7 },
  }
  const sampler = openSampler(model)
  const durations: Duration[] = []
  let timer = startTimer()
  const latents = await generateLatents(sampler, request, () => {
    durations.push(timer())
    timer = startTimer()
  })
  sampler.close()
  return { latents, durations }
}
