/**
 * Sampling of recordings that are longer than a clip of the training: overlapping windows are denoised together, on one latent with one noise. At every
 * step the predictions of the windows are averaged where they overlap (MultiDiffusion, Bar-Tal et al. 2023), and at every other step the grid of windows
 * is shifted by half a hop, so that no border stays in one place.
 */
import { setImmediate } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs'
import { fromBatch, type HostMatrix, rows, toBatch } from '../engine/device-tensors.ts'
import { eulerStep, sigmaSchedule } from './flow-matching.ts'
import type { Guidance, Sampler } from './sampler.ts'

export type WindowedInput = {
  /** The initial noise, `[T, 128]`. */
  noise: HostMatrix
  /** The clean reference, `[T, 128]`. */
  reference: HostMatrix
  /** The contexts of the prompt and of the negative prompt, `[S, D]`. */
  context: HostMatrix
  negativeContext: HostMatrix
  /** The length of a window in latent frames. */
  window: number
  steps: number
  guidance: Guidance
  /** Called after each window of each step; sampling waits for it. @param total what `windowPasses` counts. */
  onWindow?: (done: number, total: number) => void | Promise<void>
}

/** The clean latents of a recording of any length, `[T, 128]`. The memory that it takes on the backend is that of one window. */
export async function sampleWindows(sampler: Sampler, input: WindowedInput): Promise<HostMatrix> {
  const { noise, reference, steps, guidance } = input
  const [frames] = noise.shape
  const window = Math.min(input.window, frames)
  const weights = windowWeights(window)
  const sigmas = sigmaSchedule(steps)
  const total = windowPasses(frames, window, steps)
  const contexts = { context: toBatch(input.context), negativeContext: toBatch(input.negativeContext) }
  let done = 0
  let noisy = noise
  try {
    for (let step = 0; step < steps; step++) {
      const [sigma = 0, nextSigma = 0] = sigmas.slice(step, step + 2)
      const mean = startWeightedMean(noise.shape)
      for (const offset of windowOffsets(frames, window, step)) {
        const [noisyWindow, referenceWindow] = [noisy, reference].map((matrix) =>
          toBatch(rows(matrix, offset, offset + window)),
        ) as [tf.Tensor3D, tf.Tensor3D]
        const inputs = { noisy: noisyWindow, reference: referenceWindow, ...contexts }
        const clean = sampler.predict({ ...inputs, sigma, guidance })
        tf.dispose([noisyWindow, referenceWindow])
        mean.add(await clean.data<'float32'>(), offset, weights)
        clean.dispose()
        await input.onWindow?.(++done, total)
        await setImmediate()
      }
      noisy = await fromBatch(tf.tidy(() => eulerStep(toBatch(noisy), toBatch(mean.result()), sigma, nextSigma)))
    }
    return noisy
  } finally {
    tf.dispose(contexts)
  }
}

/** Windows overlap by an eighth. Of the overlaps that were compared, this one had the fewest predictions without audible borders. */
const overlapOf = (window: number) => Math.round(window / 8)

/**
 * Where the windows of a step begin, in latent frames: every hop, from half a hop at odd steps. The first window begins with the recording, and the last
 * one ends with it.
 */
export function windowOffsets(frames: number, window: number, step: number): number[] {
  const last = frames - window
  const hop = window - overlapOf(window)
  const shift = step % 2 === 0 ? 0 : Math.floor(hop / 2)
  const offsets = new Set([0])
  for (let offset = shift; offset < last; offset += hop) offsets.add(offset)
  return [...offsets.add(last)]
}

/** The number of windows that all steps predict together: windows times steps, but that odd steps may have one more or less. */
export function windowPasses(frames: number, window: number, steps: number): number {
  const [even, odd] = [0, 1].map((step) => windowOffsets(frames, Math.min(window, frames), step).length)
  return Math.ceil(steps / 2) * (even as number) + Math.floor(steps / 2) * (odd as number)
}

/** The weight of each frame of a window: linear ramps over the overlap at both ends. */
export function windowWeights(window: number): Float32Array {
  const ramp = Math.max(1, overlapOf(window))
  return Float32Array.from({ length: window }, (_, i) => Math.min(1, (Math.min(i, window - 1 - i) + 0.5) / ramp))
}

/** Averages matrices that cover different rows. */
function startWeightedMean([frames, width]: HostMatrix['shape']) {
  const sums = new Float64Array(frames * width)
  const totals = new Float64Array(frames)
  return {
    add(values: Float32Array, offset: number, weights: Float32Array) {
      weights.forEach((weight, i) => {
        totals[offset + i] = (totals[offset + i] as number) + weight
        const at = (offset + i) * width
        for (let k = 0; k < width; k++)
          sums[at + k] = (sums[at + k] as number) + weight * (values[i * width + k] as number)
      })
    },
    result: (): HostMatrix => ({
      shape: [frames, width],
      values: Float32Array.from(sums, (sum, i) => sum / (totals[Math.floor(i / width)] as number)),
    }),
  }
}
