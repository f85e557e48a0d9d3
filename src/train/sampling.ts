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

/** The noise levels of an evaluation: the centers of four equal parts of their range. */
export const evaluationSigmas = [0.125, 0.375, 0.625, 0.875]

/**
 * What a list of pairs is evaluated with: each pair at each noise level. The noise depends on the pair's position in the list alone, not on the seed of the
 * run, so two lists, and two runs, are evaluated with the same draws.
 * @param shapeOf the shape of the latent patches of a pair's target, by its position.
 */
export const evaluationSamples = (pairs: number, shapeOf: SamplingOptions['shapeOf']): Sample[] =>
  Array.from({ length: pairs }, (_, pair) =>
    evaluationSigmas.map((sigma, level) => {
      const [frames, width] = shapeOf(pair)
      return { pair, sigma, noise: normals(randomFor(0, 'evaluation', pair, level), frames * width) }
    }),
  ).flat()
