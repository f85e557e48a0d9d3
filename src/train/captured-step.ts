/** The optimizer step as one function of tensors: on native TensorFlow captured and replayed, elsewhere run op by op. */
import * as tf from '@tensorflow/tfjs'
import type { Example } from '../diffusion/objective.ts'
import { capture } from '../engine/capture.ts'
import { isNative } from '../engine/native.ts'
import { after } from '../engine/ops.ts'
import type { LoraParameters } from '../model/lora.ts'
import { adamWInGraph, globalNormInGraph, type OptimizerState, type UpdateScalars, updateScalars } from './optimizer.ts'
import { maxGradientNorm, NonFiniteLoss, type StepOptions, type StepOutcome, trainStep } from './step.ts'

export type Step = {
  /**
   * Updates the parameters by the mean gradient of the examples.
   * @throws NonFiniteLoss when the loss or the gradient is not a number; then nothing was changed.
   */
  run(examples: readonly Example[], options: StepOptions): StepOutcome
  dispose(): void
}

/** @param lossOf one example's loss; it may look at nothing but the example and the model. */
export function createStep(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  lossOf: (example: Example) => tf.Scalar,
): Step {
  if (isNative()) return capturedStep(parameters, optimizer, lossOf)
  return {
    run: (examples, options) =>
      trainStep(
        parameters,
        optimizer,
        examples.map((example) => () => lossOf(example)),
        options,
      ),
    dispose: () => undefined,
  }
}

function capturedStep(
  parameters: LoraParameters,
  optimizer: OptimizerState,
  lossOf: (example: Example) => tf.Scalar,
): Step {
  const variables = [...parameters.values(), ...optimizer.first.values(), ...optimizer.second.values()]
  const step = capture(
    (inputs: Inputs) => {
      const { loss, gradients } = gradientsInTurn(parameters, examplesOf(inputs), lossOf)
      const norm = globalNormInGraph(gradients)
      adamWInGraph(parameters, optimizer, gradients, { ...inputs, loss, norm })
      return { loss, norm }
    },
    { variables },
  )
  return {
    run: (examples, { learningRate, maxNorm = maxGradientNorm }) => {
      const scalars = { ...updateScalars(optimizer, learningRate), maxNorm: tf.scalar(maxNorm) }
      const outputs = step.run({ ...scalars, ...named(examples) })
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

type Inputs = UpdateScalars & { maxNorm: tf.Scalar } & { [exampleTensor: string]: tf.Tensor }

const named = (examples: readonly Example[]) =>
  Object.fromEntries(
    examples.flatMap((example, i) => Object.entries(example).map(([name, tensor]) => [`example${i}/${name}`, tensor])),
  )

function examplesOf(inputs: { [name: string]: tf.Tensor }): Example[] {
  const examples: Record<string, tf.Tensor>[] = []
  for (const [name, tensor] of Object.entries(inputs)) {
    const [, i, part] = /^example(\d+)\/(.+)$/.exec(name) ?? []
    if (part !== undefined) examples[Number(i)] = { ...examples[Number(i)], [part]: tensor }
  }
  return examples as unknown as Example[]
}

/** The mean loss and gradient, one example after the other, so that only one keeps its activations at a time. */
function gradientsInTurn(
  parameters: LoraParameters,
  examples: readonly Example[],
  lossOf: (example: Example) => tf.Scalar,
) {
  let total: tf.Scalar | undefined
  let sums: Map<string, tf.Tensor> | undefined
  for (const example of examples) {
    const { target } = example
    const waiting = sums ? after(target, globalNormInGraph(sums)) : target
    const { value, grads } = tf.variableGrads(
      () => tf.div(lossOf({ ...example, target: waiting }), examples.length),
      [...parameters.values()],
    )
    total = total ? tf.add(total, value) : value
    sums = new Map(
      [...parameters.keys()].map((name) => {
        const [before, gradient] = [sums?.get(name), grads[name] as tf.Tensor]
        return [name, before ? tf.add(before, gradient) : gradient]
      }),
    )
  }
  return { loss: total as tf.Scalar, gradients: sums as Map<string, tf.Tensor> }
}
