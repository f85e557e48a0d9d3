/**
 * What is drawn at random in a training step: the order of the examples, their noise levels and their noise. Everything follows from the seed and the
 * number of the step, so a resumed run draws what an uninterrupted one would have drawn.
 */
import { drawSigma } from '../diffusion/flow-matching.ts'
import { normals, randomFor, shuffled } from '../platform/random.ts'

/** The index of a pair, its noise level and its noise, `[T · 128]`. */
export type Sample = { pair: number; sigma: number; noise: Float32Array }

export type SamplingOptions = {
  /** The number of pairs. */
  pairs: number
  /** Examples per step. */
  accumulation: number
  /** The shape of the latent patches of a pair's target. */
  shapeOf: (pair: number) => readonly [number, number]
}

/**
 * The samples of one optimizer step, one for each example that is accumulated. The pairs come in a new order every epoch.
 * @param step 0-based.
 */
export function samplesForStep(
  seed: number,
  step: number,
  { pairs, accumulation, shapeOf }: SamplingOptions,
): Sample[] {
  return Array.from({ length: accumulation }, (_, i) => {
    const position = step * accumulation + i
    const order = shuffled(randomFor(seed, 'order', Math.floor(position / pairs)), pairs)
    const pair = order[position % pairs] as number
    return drawSample(pair, seed, ['example', position], shapeOf(pair))
  })
}

/** The noise level and the noise of one example. The same seed and purpose give the same sample. */
export function drawSample(
  pair: number,
  seed: number,
  purpose: (string | number)[],
  [frames, width]: readonly [number, number],
): Sample {
  const random = randomFor(seed, ...purpose)
  return { pair, sigma: drawSigma(random, frames), noise: normals(random, frames * width) }
}
