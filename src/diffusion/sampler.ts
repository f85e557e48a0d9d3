/**
 * From noise to latents under guidance, as the reference's validation does it (spec §9.2): the target's tokens first, the clean reference
 * appended, both standing at time 0.
 */
import * as tf from '@tensorflow/tfjs'
import { capture } from '../engine/capture.ts'
import { trainedFactors } from '../model/lora.ts'
import { latentFrameMiddles } from '../model/rope.ts'
import { type Transformer, tokenRotation, velocities, velocity } from '../model/transformer/transformer.ts'
import { denoised, eulerStep, sigmaSchedule } from './flow-matching.ts'
import { type Guidance, guide, type Predictions, perturbedBlock } from './guidance.ts'

/** Samples again and again with one model; what it has captured of it serves as long as the same LoRA is attached. */
export type Sampler = {
  /** The target's clean latents in token layout, `[1, T, 128]`. */
  sample(input: SamplerInput): Promise<tf.Tensor3D>
  close(): void
}

export type SamplerInput = {
  /** The target's initial noise, `[1, T, 128]`. */
  noise: tf.Tensor3D
  /** The clean reference in token layout, `[1, R, 128]`. */
  reference: tf.Tensor3D
  /** The prompt's context and, for guidance, that of the negative prompt: `[1, S, D]`. */
  context: tf.Tensor3D
  negativeContext: tf.Tensor3D
  steps: number
  guidance: Guidance
  onStep?: (step: number, state: SamplerState) => void | Promise<void>
}

/** After a step: what each pass predicted, the guided prediction with the clean reference back in place, and the tokens it led to. */
export type SamplerState = { predictions: Predictions; denoised: tf.Tensor3D; tokens: tf.Tensor3D }

/** @param isPerturbed which blocks spatio-temporal guidance perturbs. */
export function openSampler(
  model: Transformer,
  isPerturbed = (block: number) => block === perturbedBlock(model.blocks.length),
): Sampler {
  const opened = new Map<string, Passes>()
  const passesFor = ({ noise, reference, guidance }: SamplerInput) => {
    const [frames, referenceFrames] = [noise.shape[1], reference.shape[1]]
    const perturbs = guidance.stg === 0 ? undefined : isPerturbed
    const key = `${frames}+${referenceFrames} ${perturbs !== undefined}`
    const passes = opened.get(key) ?? openPasses(model, frames, referenceFrames, perturbs)
    opened.set(key, passes)
    return passes
  }
  return {
    sample: async (input) => {
      const passes = passesFor(input)
      try {
        return await walk(passes, input)
      } finally {
        passes.rest()
      }
    },
    close: () => {
      for (const passes of opened.values()) passes.close()
      opened.clear()
    },
  }
}

async function walk(passes: Passes, input: SamplerInput): Promise<tf.Tensor3D> {
  const { noise, reference, context, negativeContext, steps, guidance } = input
  const contexts = { context, ...(guidance.cfg !== 1 && { negativeContext }) }
  const frames = noise.shape[1]
  const sigmas = sigmaSchedule(steps)
  let tokens = tf.concat([noise, reference], 1)
  try {
    for (let step = 0; step < steps; step++) {
      const [sigma = 0, next = 0] = sigmas.slice(step, step + 2)
      const state: SamplerState = tf.tidy(() => {
        const predictions = passes.run({ tokens, sigma: tf.tensor1d([sigma]), ...contexts })
        const guided = guide(predictions, guidance)
        const clean = tf.concat([tf.slice(guided, [0, 0, 0], [1, frames, -1]), reference], 1)
        return { predictions, denoised: clean, tokens: eulerStep(tokens, clean, sigma, next) }
      })
      await input.onStep?.(step, state)
      tf.dispose([tokens, state.denoised, ...Object.values(state.predictions)])
      tokens = state.tokens
    }
    return tf.slice(tokens, [0, 0, 0], [1, frames, -1])
  } finally {
    tokens.dispose()
  }
}

type PassesInput = {
  /** Noisy, `[1, N, 128]`. */
  tokens: tf.Tensor3D
  /** `[1]`. */
  sigma: tf.Tensor1D
  context: tf.Tensor3D
  /** Where there is one, a pass is made with it. */
  negativeContext?: tf.Tensor3D
}

type Passes = { run(input: PassesInput): Predictions; rest(): void; close(): void }

/**
 * Up to three passes of a step, captured as one: the prompt, the negative prompt, and the prompt with perturbed self-attention. They run again and
 * again with the same shapes.
 */
function openPasses(
  model: Transformer,
  frames: number,
  referenceFrames: number,
  isPerturbed: ((block: number) => boolean) | undefined,
): Passes {
  const noisy = [...Array<1>(frames).fill(1), ...Array<0>(referenceFrames).fill(0)]
  const rotation = tokenRotation(model.config, [...latentFrameMiddles(frames), ...latentFrameMiddles(referenceFrames)])
  const captured = capture(
    ({ tokens, sigma, context, negativeContext }: PassesInput): Predictions => {
      const levels = tf.mul(tf.tensor3d([...noisy], [1, noisy.length, 1]), sigma)
      const clean = (predicted: tf.Tensor3D) => denoised(tokens, predicted, levels)
      const told = (context: tf.Tensor3D) => ({ tokens, sigma, noisy, rotation, context })
      const negative = negativeContext && tf.tidy(() => clean(velocity(model, told(negativeContext))))
      const { plain, perturbed } = isPerturbed
        ? velocities(model, told(context), isPerturbed)
        : { plain: velocity(model, told(context)) }
      return {
        conditional: clean(plain),
        ...(negative && { negative }),
        ...(perturbed && { perturbed: clean(perturbed) }),
      }
    },
    { variables: trainedFactors(model) },
  )
  return {
    run: captured.run,
    rest: captured.rest,
    close: () => {
      captured.dispose()
      tf.dispose([rotation.cos, rotation.sin])
    },
  }
}
