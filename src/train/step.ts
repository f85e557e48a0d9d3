/** One optimizer step: gradients of one or more examples, averaged, clipped, applied. */
import * as tf from '@tensorflow/tfjs'
import type { LoraParameters } from '../model/lora.ts'
import { adamWStep, globalNorm, type OptimizerState } from './optimizer.ts'

export const maxGradientNorm = 1

export type StepOptions = { learningRate: number; maxNorm?: number }

export type StepOutcome = { loss: number; gradientNorm: number }

/**
 * Updates the parameters in place.
 * @param losses one function of the parameters per example; their mean is what is minimised.
 * @throws NonFiniteLoss before anything was changed when the loss or the gradient is not a number.
 */
export function trainStep(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  losses: readonly (() => tf.Scalar)[],
  { learningRate, maxNorm = maxGradientNorm }: StepOptions,
): StepOutcome {
  const { loss, gradients } = meanGradients(parameters, losses)
  const norm = globalNorm(gradients)
  try {
    const gradientNorm = norm.dataSync()[0] as number
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw new NonFiniteLoss(loss, gradientNorm)
    adamWStep(parameters, optimizer, gradients, { learningRate, norm, maxNorm })
    return { loss, gradientNorm }
  } finally {
    tf.dispose([norm, ...gradients.values()])
  }
}

/** Training has left the numbers: the step was not applied. */
export class NonFiniteLoss extends Error {
  override readonly name = 'NonFiniteLoss'
  /** Where it happened: those of the step's examples whose loss is no number, or all where only the gradient is none. */
  examples: readonly { sigma: number; pair: string }[] = []
  constructor(
    readonly loss: number,
    readonly gradientNorm: number,
  ) {
    super(`the loss is ${loss}, the gradient norm ${gradientNorm}`)
  }
}

/** The mean loss over the examples and its gradient with respect to every parameter. The caller disposes of the gradients. */
export function meanGradients(parameters: LoraParameters, losses: readonly (() => tf.Scalar)[]) {
  const variables = [...parameters.values()]
  const sums = new Map<string, tf.Tensor>()
  let total = 0
  for (const loss of losses) {
    const { value, grads } = tf.variableGrads(() => tf.div(loss(), losses.length), variables)
    total += value.dataSync()[0] as number
    value.dispose()
    for (const [name, gradient] of Object.entries(grads)) {
      const before = sums.get(name)
      sums.set(name, before ? tf.add(before, gradient) : gradient)
      if (before) tf.dispose([before, gradient])
    }
  }
  return { loss: total, gradients: sums }
}
