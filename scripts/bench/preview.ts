/** One preview at the released sizes: sampling with both kinds of guidance, decoding, vocoding. Fewer blocks than 48 if so asked. */
import * as tf from '@tensorflow/tfjs'
import { openSampler } from '../../src/diffusion/sampler.ts'
import { currentBackend } from '../../src/engine/backend.ts'
import { currentPrecision } from '../../src/engine/precision.ts'
import { loadTransformer } from '../../src/model/transformer/transformer.ts'
import { normals, randomFor } from '../../src/platform/random.ts'
import { decodePatches, generateLatents, soundOf } from '../../src/preview/render.ts'
import { medianSpent, peakGigabytes, type Spent, startClock } from './clock.ts'
import { width } from './released.ts'
import { syntheticBase } from './synthetic-base.ts'

export type PreviewBench = { blocks: number; seconds: number; steps: number; contextTokens: number }

export type PreviewResult = {
  backend: string
  precision: string
  blocks: number
  seconds: number
  load: Spent
  /** Captures included. */
  firstStep: Spent
  /** Every further one, at least one more. Three passes: prompt, negative prompt, perturbed. */
  step: Spent
  /** Weights included, as in the next. */
  decoding: Spent
  vocoding: Spent
  peakRssGigabytes: number
}

export async function benchPreview({ blocks, seconds, steps, contextTokens }: PreviewBench): Promise<PreviewResult> {
  const base = syntheticBase(blocks)
  const [model, load] = await timed(() => loadTransformer(base.components.transformer, base.config.transformer))
  const matrix = (name: string, rows: number, columns: number) => ({
    shape: [rows, columns] as [number, number],
    values: normals(randomFor(1, name), rows * columns),
  })
  const request = {
    reference: matrix('reference', Math.ceil(25 * seconds) + 1, 128),
    context: matrix('context', contextTokens, width),
    negativeContext: matrix('negative context', contextTokens, width),
    ...{ seconds, steps: Math.max(2, steps), seed: 1, guidance: { cfg: 7, stg: 1, rescale: 0.7 } },
  }
  const sampler = openSampler(model)
  const spent: Spent[] = []
  let step = startClock()
  const latents = await generateLatents(sampler, request, () => {
    spent.push(step())
    step = startClock()
  })
  sampler.close()
  const [mel, decoding] = await timed(async () => {
    const mel = decodePatches(base, latents)
    await mel.data()
    return mel
  })
  const [, vocoding] = await timed(() => soundOf(base, mel))
  tf.dispose(mel)
  return {
    backend: currentBackend(),
    precision: currentPrecision(),
    ...{ blocks, seconds, load, firstStep: spent[0] as Spent, step: medianSpent(spent.slice(1)), decoding, vocoding },
    peakRssGigabytes: peakGigabytes(),
  }
}

async function timed<Result>(work: () => Result | Promise<Result>): Promise<[Result, Spent]> {
  const clock = startClock()
  return [await work(), clock()]
}
