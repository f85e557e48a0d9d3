/**
 * One optimizer step: the gradients of one or more examples, averaged, clipped and applied. Where functions can be captured, the step runs as graphs;
 * elsewhere it runs op by op.
 */
import * as tf from '@tensorflow/tfjs'
import type { Example } from '../diffusion/flow-matching.ts'
import { capture, capturesGraphs } from '../engine/capture.ts'
import { takeNumber } from '../engine/tensor-values.ts'
import type { LoraParameters } from '../model/lora.ts'
import {
  accumulateInGraph,
  adamWInGraph,
  adamWStep,
  globalNorm,
  globalNormInGraph,
  type HostGradients,
  type OptimizerState,
  type UpdateScalars,
  updateScalars,
  zeroVariables,
} from './optimizer.ts'

export type Step = {
  /**
   * Updates the parameters by the mean gradient of the examples.
   * @throws NonFiniteLoss when the loss or the gradient is not finite; then nothing was changed.
   */
  run(examples: readonly Example[], options: StepOptions): Promise<StepOutcome>
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
  if (capturesGraphs()) return createCapturedStep(parameters, optimizer, lossOf)
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
export async function trainStep(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  losses: readonly (() => tf.Scalar)[],
  { learningRate, maxNorm = maxGradientNorm }: StepOptions,
): Promise<StepOutcome> {
  const { loss, gradients: tensors } = await meanGradients(parameters, losses)
  const gradients = await takeValues(tensors)
  const gradientNorm = globalNorm(gradients)
  if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw new NonFiniteLoss(loss, gradientNorm)
  await adamWStep(parameters, optimizer, gradients, { learningRate, norm: gradientNorm, maxNorm })
  return { loss, gradientNorm }
}

/** The mean loss over the examples and its gradient with respect to every parameter. The caller disposes of the gradients. */
export async function meanGradients(parameters: LoraParameters, losses: readonly (() => tf.Scalar)[]) {
  const sums = new Map<string, tf.Tensor>()
  let total = 0
  for (const loss of losses) {
    const { value, gradients } = lossAndGradients(parameters, () => tf.div(loss(), losses.length))
    total += await takeNumber(value)
    for (const [name, gradient] of gradients) {
      const before = sums.get(name)
      sums.set(name, before ? tf.add(before, gradient) : gradient)
      if (before) tf.dispose([before, gradient])
    }
  }
  return { loss: total, gradients: sums }
}

/** The values of the gradients, which are disposed of. */
async function takeValues(gradients: ReadonlyMap<string, tf.Tensor>): Promise<HostGradients> {
  const tensors = [...gradients.values()]
  try {
    const values = await Promise.all(tensors.map((tensor) => tensor.data<'float32'>()))
    return new Map([...gradients.keys()].map((name, i) => [name, values[i] as Float32Array]))
  } finally {
    tf.dispose(tensors)
  }
}

/** The value of a loss and its gradient with respect to every parameter, by the parameter's name. */
function lossAndGradients(parameters: LoraParameters, loss: () => tf.Scalar) {
  const { value, grads } = tf.variableGrads(loss, [...parameters.values()])
  const gradients = [...parameters].map(([name, variable]) => [name, grads[variable.name] as tf.Tensor] as const)
  return { value, gradients: new Map(gradients) }
}

/**
 * A step of one example is one graph. In a step of several, one graph per example adds its gradient to accumulators, and another applies the sums: there
 * are as many graphs as shapes of examples, however these are combined.
 */
function createCapturedStep(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  lossOf: (example: Example) => tf.Scalar,
): Step {
  const single = captureSingle(parameters, optimizer, lossOf)
  let several: CapturedStep | undefined // made when it is needed: its accumulators are as large as the LoRA
  const stepFor = (count: number) => {
    if (count === 1) return single
    several ??= captureSeveral(parameters, optimizer, lossOf)
    return several
  }
  return {
    run: async (examples, { learningRate, maxNorm = maxGradientNorm }) => {
      const outputs = tf.tidy(() => {
        const scalars = { ...updateScalars(optimizer, learningRate), maxNorm: tf.scalar(maxNorm) }
        return stepFor(examples.length).run(examples, scalars)
      })
      const [loss, gradientNorm] = [await takeNumber(outputs.loss), await takeNumber(outputs.norm)]
      if (!Number.isFinite(loss + gradientNorm)) throw new NonFiniteLoss(loss, gradientNorm)
      optimizer.updates++
      return { loss, gradientNorm }
    },
    dispose: () => {
      single.dispose()
      several?.dispose()
    },
  }
}

type CapturedStep = {
  /** Changes nothing where the loss or the norm is not finite. */
  run(examples: readonly Example[], scalars: StepScalars): StepOutputs
  dispose(): void
}

type StepScalars = UpdateScalars & { maxNorm: tf.Scalar }
type StepOutputs = { loss: tf.Scalar; norm: tf.Scalar }

function captureSingle(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  lossOf: (example: Example) => tf.Scalar,
): CapturedStep {
  const { run, dispose } = capture(
    (inputs: Example & StepScalars) => {
      const { value, gradients } = lossAndGradients(parameters, () => lossOf(inputs))
      return updateByGradients(parameters, optimizer, gradients, { ...inputs, loss: value })
    },
    { variables: variablesOf(parameters, optimizer) },
  )
  return { run: ([example], scalars) => run({ ...(example as Example), ...scalars }), dispose }
}

function captureSeveral(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  lossOf: (example: Example) => tf.Scalar,
): CapturedStep {
  const accumulators = zeroVariables(parameters)
  const accumulation = capture(
    ({ count, kept, ...example }: Example & { count: tf.Scalar; kept: tf.Scalar }) => {
      const { value, gradients } = lossAndGradients(parameters, () => tf.div(lossOf(example), count))
      accumulateInGraph(accumulators, gradients, kept)
      return { loss: value }
    },
    { variables: [...parameters.values(), ...accumulators.values()] },
  )
  const update = capture(
    (inputs: StepScalars & { loss: tf.Scalar }) => updateByGradients(parameters, optimizer, accumulators, inputs),
    { variables: [...variablesOf(parameters, optimizer), ...accumulators.values()] },
  )
  return {
    run: (examples, scalars) => {
      const count = tf.scalar(examples.length)
      const losses = examples.map((example, i) => {
        return accumulation.run({ ...example, count, kept: tf.scalar(i === 0 ? 0 : 1) }).loss
      })
      return update.run({ ...scalars, loss: losses.reduce((sum, loss) => tf.add(sum, loss)) })
    },
    dispose: () => {
      accumulation.dispose()
      update.dispose()
      tf.dispose([...accumulators.values()])
    },
  }
}

const variablesOf = (parameters: LoraParameters, { first, second }: OptimizerState) =>
  [parameters, first, second].flatMap((variables) => [...variables.values()])

function updateByGradients(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  gradients: ReadonlyMap<string, tf.Tensor>,
  inputs: StepScalars & { loss: tf.Scalar },
): StepOutputs {
  const norm = globalNormInGraph(gradients)
  adamWInGraph(parameters, optimizer, gradients, { ...inputs, norm })
  return { loss: inputs.loss, norm }
}
