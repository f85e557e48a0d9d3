/**
 * The sampler: from noise to latents under guidance, as the reference implementation's validation does it (reference §9.2, §9.3). The sequence is the
 * target followed by the clean reference; the positions of both start at 0.
 */
import * as tf from '@tensorflow/tfjs'
import { capture } from '../engine/capture.ts'
import { loraFactors } from '../model/lora.ts'
import { frameCenterSeconds } from '../model/rope.ts'
import { type Transformer, tokenRope, velocities, velocity } from '../model/transformer/transformer.ts'
import { denoised, eulerStep, sigmaSchedule } from './flow-matching.ts'

/** Samples any number of times from one model. Graphs that were captured for one sample are used again for the next of the same kind. */
export type Sampler = {
  /** The clean latents of the target in token layout, `[1, T, 128]`. Uses the LoRA that is attached, with its present values. */
  sample(input: SamplerInput): Promise<tf.Tensor3D>
  /** The guided prediction of the clean target from a noisy one, `[1, T, 128]`: a single step of the above. */
  predict(input: PredictionInput): tf.Tensor3D
  /** Frees the captured graphs. */
  close(): void
}

export type SamplerInput = {
  /** The initial noise of the target, `[1, T, 128]`. */
  noise: tf.Tensor3D
  /** The clean reference in token layout, `[1, R, 128]`. */
  reference: tf.Tensor3D
  /** The context of the prompt, `[1, S, D]`. */
  context: tf.Tensor3D
  /** The context of the negative prompt, `[1, S, D]`; used where `guidance.cfg` is not 1. */
  negativeContext: tf.Tensor3D
  steps: number
  guidance: Guidance
  /** Called after each step; sampling waits for it. The tensors are disposed of afterwards. */
  onStep?: (step: number, state: SamplerState) => void | Promise<void>
}

export type PredictionInput = Pick<SamplerInput, 'reference' | 'context' | 'negativeContext' | 'guidance'> & {
  /** The target with noise, `[1, T, 128]`. */
  noisy: tf.Tensor3D
  /** Its noise level. */
  sigma: number
}

export type SamplerState = {
  predictions: Predictions
  /** The guided prediction of all tokens, with the clean reference in place. */
  denoised: tf.Tensor3D
  /** All tokens after the step. */
  tokens: tf.Tensor3D
}

/** @param isPerturbed which blocks spatio-temporal guidance perturbs. */
export function openSampler(
  model: Transformer,
  isPerturbed = (block: number) => block === perturbedBlock(model.blocks.length),
): Sampler {
  const predictors = new Map<string, Predictor>()
  const predictorFor = (
    target: tf.Tensor3D,
    { reference, guidance }: Pick<SamplerInput, 'reference' | 'guidance'>,
  ): Predictor => {
    const options = {
      frames: target.shape[1],
      referenceFrames: reference.shape[1],
      usesNegative: guidance.cfg !== 1,
      usesPerturbed: guidance.stg !== 0,
    }
    const key = JSON.stringify([options, loraFactors(model).map(({ id }) => id)])
    const predictor = predictors.get(key) ?? createPredictor(model, options, isPerturbed)
    predictors.set(key, predictor)
    return predictor
  }
  return {
    sample: async (input) => denoise(predictorFor(input.noise, input), input),
    predict: (input) => predictClean(predictorFor(input.noisy, input), input),
    close: () => {
      for (const predictor of predictors.values()) predictor.close()
      predictors.clear()
    },
  }
}

async function denoise(predictor: Predictor, input: SamplerInput): Promise<tf.Tensor3D> {
  const { noise, reference, context, negativeContext, steps, guidance } = input
  const frames = noise.shape[1]
  const sigmas = sigmaSchedule(steps)
  let tokens = tf.concat([noise, reference], 1)
  try {
    for (let step = 0; step < steps; step++) {
      const [sigma = 0, nextSigma = 0] = sigmas.slice(step, step + 2)
      const state: SamplerState = tf.tidy(() => {
        const predictions = predictor.run({ tokens, sigma: tf.tensor1d([sigma]), context, negativeContext })
        const guided = applyGuidance(predictions, guidance)
        const clean = tf.concat([tf.slice(guided, [0, 0, 0], [1, frames, -1]), reference], 1)
        return { predictions, denoised: clean, tokens: eulerStep(tokens, clean, sigma, nextSigma) }
      })
      try {
        await input.onStep?.(step, state)
      } finally {
        tf.dispose([tokens, state.denoised, ...Object.values(state.predictions)])
        tokens = state.tokens
      }
    }
    return tf.slice(tokens, [0, 0, 0], [1, frames, -1])
  } finally {
    tokens.dispose()
  }
}

const predictClean = (
  predictor: Predictor,
  { noisy, reference, sigma, context, negativeContext, guidance }: PredictionInput,
): tf.Tensor3D =>
  tf.tidy(() => {
    const tokens = tf.concat([noisy, reference], 1)
    const guided = applyGuidance(
      predictor.run({ tokens, sigma: tf.tensor1d([sigma]), context, negativeContext }),
      guidance,
    )
    return tf.slice(guided, [0, 0, 0], noisy.shape)
  })

/** All passes of a sampling step, captured as one function. */
type Predictor = { run(input: PredictorInput): Predictions; close(): void }

type PredictorInput = {
  /** Noisy target and clean reference, `[1, N, 128]`. */
  tokens: tf.Tensor3D
  /** `[1]`. */
  sigma: tf.Tensor1D
  context: tf.Tensor3D
  negativeContext: tf.Tensor3D
}

/** What decides the captured function, besides the model and its LoRA. */
type PredictorOptions = {
  frames: number
  referenceFrames: number
  /** Whether there is a pass with the negative prompt, and one with perturbed self-attention. */
  usesNegative: boolean
  usesPerturbed: boolean
}

function createPredictor(
  model: Transformer,
  { frames, referenceFrames, usesNegative, usesPerturbed }: PredictorOptions,
  isPerturbed: (block: number) => boolean,
): Predictor {
  const noisy = [...Array<1>(frames).fill(1), ...Array<0>(referenceFrames).fill(0)]
  const rope = tokenRope(model.config, [...frameCenterSeconds(frames), ...frameCenterSeconds(referenceFrames)])
  const captured = capture(
    ({ tokens, sigma, context, negativeContext }: PredictorInput): Predictions => {
      const sigmas = tf.mul(tf.tensor3d([...noisy], [1, noisy.length, 1]), sigma)
      const clean = (velocity: tf.Tensor3D) => denoised(tokens, velocity, sigmas)
      const inputWith = (context: tf.Tensor3D) => ({ tokens, sigma, noisy, rope, context })
      const negative = usesNegative && tf.tidy(() => clean(velocity(model, inputWith(negativeContext))))
      const { plain, perturbed } = usesPerturbed
        ? velocities(model, inputWith(context), isPerturbed)
        : { plain: velocity(model, inputWith(context)), perturbed: undefined }
      return {
        conditional: clean(plain),
        ...(negative && { negative }),
        ...(perturbed && { perturbed: clean(perturbed) }),
      }
    },
    { variables: loraFactors(model).filter((factor) => factor instanceof tf.Variable) },
  )
  return {
    run: captured.run,
    close: () => {
      captured.dispose()
      tf.dispose([rope.cos, rope.sin])
    },
  }
}

export type Guidance = {
  /** The scale of classifier-free guidance, away from the negative prompt; 1 is none. */
  cfg: number
  /** The scale of spatio-temporal guidance, away from a prediction with perturbed self-attention; 0 is none. */
  stg: number
  /** How far the standard deviation of the result is brought back to that of the conditional prediction, 0 … 1. */
  rescale: number
}

/** The rescale of every preview, the reference implementation's setting. */
export const guidanceRescale = 0.7

/** The clean latents that each pass predicts, `[1, N, 128]`: of all tokens, including those of the reference. */
export type Predictions = { conditional: tf.Tensor3D; negative?: tf.Tensor3D; perturbed?: tf.Tensor3D }

/**
 * guided = c + (cfg − 1)·(c − n) + stg·(c − p), times rescale · std(c) / std(guided) + 1 − rescale. Both standard deviations are over all tokens: those
 * of the reference are the same in all predictions, and bring the ratio closer to 1.
 */
export function applyGuidance(
  { conditional, negative, perturbed }: Predictions,
  { cfg, stg, rescale }: Guidance,
): tf.Tensor3D {
  let guided = conditional
  if (negative) guided = tf.add(guided, tf.mul(tf.sub(conditional, negative), cfg - 1))
  if (perturbed) guided = tf.add(guided, tf.mul(tf.sub(conditional, perturbed), stg))
  if (rescale === 0) return guided
  const ratio = tf.div(standardDeviation(conditional), standardDeviation(guided))
  return tf.mul(guided, tf.add(tf.mul(ratio, rescale), 1 - rescale))
}

const standardDeviation = (x: tf.Tensor) => tf.sqrt(tf.moments(x).variance)

/** The block that spatio-temporal guidance perturbs: block 28 of the released 48, and the corresponding one of a smaller model. */
export const perturbedBlock = (blocks: number) => Math.floor((blocks * 28) / 48)

/** The number of passes through all blocks that one step takes. The perturbed pass starts at the perturbed block. */
export const passesPerStep = ({ cfg, stg }: Omit<Guidance, 'rescale'>, blocks: number): number =>
  1 + (cfg === 1 ? 0 : 1) + (stg === 0 ? 0 : 1 - perturbedBlock(blocks) / blocks)
