/**
 * One optimizer step: the gradients of one or more examples, averaged, clipped and applied. On native TensorFlow the step is captured as one graph
 * and replayed; on other backends it runs op by op.
 */
import * as tf from '@tensorflow/tfjs'
import type { Example } from '../diffusion/flow-matching.ts'
import { capture } from '../engine/capture.ts'
import { isNative } from '../engine/native.ts'
import { withControlDependency } from '../engine/native-ops.ts'
import { flattenTree, unflattenTree } from '../engine/tensor-tree.ts'
import type { LoraParameters } from '../model/lora.ts'
import {
  adamWInGraph,
  adamWStep,
  globalNorm,
  globalNormInGraph,
  type OptimizerState,
  type UpdateScalars,
  updateScalars,
} from './optimizer.ts'

export type Step = {
  /**
   * Updates the parameters by the mean gradient of the examples.
   * @throws NonFiniteLoss when the loss or the gradient is not finite; then nothing was changed.
   */
  run(examples: readonly Example[], options: StepOptions): StepOutcome
  dispose(): void
}

export type StepOptions = { learningRate: number; maxNorm?: number }

export type StepOutcome = {
  loss: number
  /** Before clipping. */
  gradientNorm: number
}

export const maxGradientNorm = 1

/** The loss or the gradient is not finite. The step was not applied. */
export class NonFiniteLoss extends Error {
  override readonly name = 'NonFiniteLoss'
  /** The examples of the step whose loss is not finite, or all of them where only the gradient is not. */
  examples: readonly { sigma: number; pair: string }[] = []
  constructor(
    readonly loss: number,
    readonly gradientNorm: number,
  ) {
    super(`the loss is ${loss}, the gradient norm ${gradientNorm}`)
  }
}

/** @param lossOf the loss of one example; it may depend on nothing but the example and the model. */
export function createStep(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  lossOf: (example: Example) => tf.Scalar,
): Step {
  if (isNative()) return createCapturedStep(parameters, optimizer, lossOf)
  return {
    run: (examples, options) => {
      const losses = examples.map((example) => () => lossOf(example))
      return trainStep(parameters, optimizer, losses, options)
    },
    dispose: () => undefined,
  }
}

/**
 * The step, op by op.
 * @param losses one function of the parameters per example; their mean is minimized.
 * @throws NonFiniteLoss before anything was changed when the loss or the gradient is not finite.
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

/** The mean loss over the examples and its gradient with respect to every parameter. The caller disposes of the gradients. */
export function meanGradients(parameters: LoraParameters, losses: readonly (() => tf.Scalar)[]) {
  const sums = new Map<string, tf.Tensor>()
  let total = 0
  for (const loss of losses) {
    const { value, gradients } = lossAndGradients(parameters, () => tf.div(loss(), losses.length))
    total += value.dataSync()[0] as number
    value.dispose()
    for (const [name, gradient] of gradients) {
      const before = sums.get(name)
      sums.set(name, before ? tf.add(before, gradient) : gradient)
      if (before) tf.dispose([before, gradient])
    }
  }
  return { loss: total, gradients: sums }
}

/** The value of a loss and its gradient with respect to every parameter, by the parameter's name. */
function lossAndGradients(parameters: LoraParameters, loss: () => tf.Scalar) {
  const { value, grads } = tf.variableGrads(loss, [...parameters.values()])
  const gradients = [...parameters].map(([name, variable]) => [name, grads[variable.name] as tf.Tensor] as const)
  return { value, gradients: new Map(gradients) }
}

function createCapturedStep(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  lossOf: (example: Example) => tf.Scalar,
): Step {
  const variables = [...parameters.values(), ...optimizer.first.values(), ...optimizer.second.values()]
  let structure: readonly Example[] = [] // of the examples whose tensors are the inputs
  const step = capture(
    ({ learningRate, beta1Power, beta2Power, maxNorm, ...tensors }: StepInputs) => {
      const examples = unflattenTree(structure, Object.values(tensors))
      const { loss, gradients } = accumulateGradients(parameters, examples, lossOf)
      const norm = globalNormInGraph(gradients)
      adamWInGraph(parameters, optimizer, gradients, { learningRate, beta1Power, beta2Power, maxNorm, loss, norm })
      return { loss, norm }
    },
    { variables },
  )
  return {
    run: (examples, { learningRate, maxNorm = maxGradientNorm }) => {
      structure = examples
      const scalars = { ...updateScalars(optimizer, learningRate), maxNorm: tf.scalar(maxNorm) }
      const tensors = Object.fromEntries(flattenTree(examples).map((tensor, i) => [`example tensor ${i}`, tensor]))
      const outputs = step.run({ ...scalars, ...tensors })
      const [loss = Number.NaN] = outputs.loss.dataSync()
      const [gradientNorm = Number.NaN] = outputs.norm.dataSync()
      tf.dispose([outputs, scalars])
      if (!Number.isFinite(loss + gradientNorm)) throw new NonFiniteLoss(loss, gradientNorm)
      optimizer.updates++
      return { loss, gradientNorm }
    },
    dispose: step.dispose,
  }
}

/** The scalars of the update, and the tensors of the examples in their order. */
type StepInputs = UpdateScalars & { maxNorm: tf.Scalar } & { [exampleTensor: string]: tf.Tensor }

/** The mean loss and gradient in a graph, one example after the other, so that only one keeps its activations at a time. */
function accumulateGradients(
  parameters: LoraParameters,
  examples: readonly Example[],
  lossOf: (example: Example) => tf.Scalar,
) {
  let total: tf.Scalar | undefined
  let sums: Map<string, tf.Tensor> | undefined
  for (const example of examples) {
    const { target } = example
    const ordered = sums ? withControlDependency(target, globalNormInGraph(sums)) : target // starts when the example before is done
    const { value, gradients } = lossAndGradients(parameters, () =>
      tf.div(lossOf({ ...example, target: ordered }), examples.length),
    )
    total = total ? tf.add(total, value) : value
    const before = sums
    sums = new Map(
      [...gradients].map(([name, gradient]) => [
        name,
        before ? tf.add(before.get(name) as tf.Tensor, gradient) : gradient,
      ]),
    )
  }
  return { loss: total as tf.Scalar, gradients: sums as Map<string, tf.Tensor> }
}
