/** What chance decides in a step. Everything follows from the seed and the step's number, so a resumed run draws what it would have drawn. */
import { drawSigma } from '../diffusion/flow-matching.ts'
import { normals, randomFor, shuffled } from '../platform/random.ts'

/** Which pair, how noisy, and the noise itself, `[T · 128]`. */
export type Draw = { pair: number; sigma: number; noise: Float32Array }

/**
 * The draws of one optimizer step, one for each example that is accumulated. Pairs come in a new order every epoch.
 * @param step 0-based; `shapeOf` the patches' shape of a pair's target.
 */
export function drawsForStep(
  seed: number,
  step: number,
  {
    pairs,
    accumulation,
    shapeOf,
  }: { pairs: number; accumulation: number; shapeOf: (pair: number) => readonly [number, number] },
): Draw[] {
  return Array.from({ length: accumulation }, (_, i) => {
    const position = step * accumulation + i
    const order = shuffled(randomFor(seed, 'order', Math.floor(position / pairs)), pairs)
    const pair = order[position % pairs] as number
    return drawFor(pair, seed, ['example', position], shapeOf(pair))
  })
}

/** One draw named by a purpose of its own. */
export function drawFor(
  pair: number,
  seed: number,
  purpose: (string | number)[],
  [frames, width]: readonly [number, number],
): Draw {
  const random = randomFor(seed, ...purpose)
  return { pair, sigma: drawSigma(random, frames), noise: normals(random, frames * width) }
}
