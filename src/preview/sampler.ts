/**
 * From noise to latents under guidance, as the reference's validation does it (spec §9.2): the target's tokens first, the clean reference
 * appended, both standing at time 0.
 */
import * as tf from '@tensorflow/tfjs'
import { denoised, eulerStep } from '../flow/flow.ts'
import { sigmaSchedule } from '../flow/sigma.ts'
import { latentFrameMiddles } from '../model/rope.ts'
import { type Transformer, type TransformerInput, tokenRotation, velocity } from '../model/transformer/transformer.ts'
import { type Guidance, guide, type Predictions, perturbedBlock } from './guidance.ts'

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
  /** Which blocks spatio-temporal guidance perturbs. */
  perturbed?: (block: number) => boolean
  onStep?: (step: number, state: SamplerState) => void | Promise<void>
}

/** After a step: what each pass predicted, the guided prediction with the clean reference back in place, and the tokens it led to. */
export type SamplerState = { predictions: Predictions; denoised: tf.Tensor3D; tokens: tf.Tensor3D }

/** The target's clean latents in token layout, `[1, T, 128]`. */
export async function sample(model: Transformer, input: SamplerInput): Promise<tf.Tensor3D> {
  const { noise, reference, steps } = input
  const frames = noise.shape[1]
  const noisy = [...Array<1>(frames).fill(1), ...Array<0>(reference.shape[1]).fill(0)]
  const rotation = tokenRotation(model.config, [
    ...latentFrameMiddles(frames),
    ...latentFrameMiddles(reference.shape[1]),
  ])
  const sigmas = sigmaSchedule(steps)
  let tokens = tf.concat([noise, reference], 1)
  for (let step = 0; step < steps; step++) {
    const [sigma = 0, next = 0] = sigmas.slice(step, step + 2)
    const state: SamplerState = tf.tidy(() => {
      const predictions = predict(model, { tokens, noisy, rotation }, sigma, input)
      const guided = guide(predictions, input.guidance)
      const clean = tf.concat([tf.slice(guided, [0, 0, 0], [1, frames, -1]), reference], 1)
      return { predictions, denoised: clean, tokens: eulerStep(tokens, clean, sigma, next) }
    })
    await input.onStep?.(step, state)
    tf.dispose([tokens, state.denoised, ...Object.values(state.predictions)])
    tokens = state.tokens
  }
  const target = tf.slice(tokens, [0, 0, 0], [1, frames, -1])
  tf.dispose([tokens, rotation.cos, rotation.sin])
  return target
}

type Pass = Pick<TransformerInput, 'tokens' | 'noisy' | 'rotation'>

/** Up to three passes: the prompt, the negative prompt, and the prompt with perturbed self-attention. */
function predict(model: Transformer, pass: Pass, sigma: number, input: SamplerInput): Predictions {
  const { guidance, context, negativeContext } = input
  const isPerturbed = input.perturbed ?? ((block) => block === perturbedBlock(model.blocks.length))
  const timesteps = tf.tensor3d(
    pass.noisy.map((isNoisy) => isNoisy * sigma),
    [1, pass.noisy.length, 1],
  )
  const clean = (context: tf.Tensor3D, perturbed?: (block: number) => boolean) =>
    tf.tidy(() => {
      const predicted = velocity(model, {
        ...pass,
        sigma: tf.tensor1d([sigma]),
        context,
        ...(perturbed && { perturbed }),
      })
      return denoised(pass.tokens, predicted, timesteps)
    })
  return {
    conditional: clean(context),
    ...(guidance.cfg !== 1 && { negative: clean(negativeContext) }),
    ...(guidance.stg !== 0 && { perturbed: clean(context, isPerturbed) }),
  }
}
