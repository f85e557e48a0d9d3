/** AdamW with decoupled weight decay, gradient clipping by the global norm, and the learning-rate schedules (reference §7.5). */
import * as tf from '@tensorflow/tfjs'
import { graphFunction } from '../engine/graph-function.ts'
import { runOp, typeAttribute } from '../engine/native.ts'
import { updateInPlace } from '../engine/native-ops.ts'
import type { LoraParameters } from '../model/lora.ts'

export const betas = [0.9, 0.999] as const
export const epsilon = 1e-8
export const weightDecay = 0.01

/** The moments of every parameter, by the parameter's name, and the number of updates. */
export type OptimizerState = { updates: number; first: Map<string, tf.Variable>; second: Map<string, tf.Variable> }

export function startOptimizer(parameters: LoraParameters): OptimizerState {
  return { updates: 0, first: zeroVariables(parameters), second: zeroVariables(parameters) }
}

/** A variable of zeros for every parameter, of its shape, by its name. */
export const zeroVariables = (parameters: LoraParameters) =>
  new Map([...parameters].map(([name, like]) => [name, zeroVariable(like)]))

function zeroVariable(like: tf.Tensor) {
  const zeros = tf.zerosLike(like)
  const created = tf.variable(zeros, false)
  zeros.dispose()
  return created
}

export function disposeOptimizer({ first, second }: OptimizerState) {
  tf.dispose([...first.values(), ...second.values()])
}

/** The values of gradients by the parameter's name, in ordinary memory. */
export type HostGradients = ReadonlyMap<string, Float32Array>

/** √Σ‖gradient‖². */
export function globalNorm(gradients: HostGradients): number {
  let sum = 0
  for (const gradient of gradients.values()) for (const value of gradient) sum += value * value
  return Math.sqrt(sum)
}

/**
 * Updates the parameters in place. Gradients whose global norm exceeds `maxNorm` are scaled down to it. The update is computed in JavaScript: the factors
 * of a LoRA are so small that TensorFlow.js would take longer to start its fifteen operations for each of them.
 * @param norm the global norm of the gradients.
 */
export async function adamWStep(
  parameters: LoraParameters,
  state: OptimizerState,
  gradients: HostGradients,
  { learningRate, norm, maxNorm }: { learningRate: number; norm: number; maxNorm: number },
): Promise<void> {
  state.updates++
  const [beta1, beta2] = betas
  const update: Update = {
    clipping: Math.min(1, maxNorm / (norm + clippingEpsilon)),
    stepSize: learningRate / (1 - beta1 ** state.updates),
    secondScale: 1 / Math.sqrt(1 - beta2 ** state.updates),
    decay: 1 - learningRate * weightDecay,
  }
  for (const [name, gradient] of gradients) {
    const variables = variablesOf(name, parameters, state)
    const read = await Promise.all(variables.map((variable) => variable.data<'float32'>()))
    const arrays = read.map((values) => values.slice()) as Triple<Float32Array>
    updateValues(update, gradient, arrays)
    tf.tidy(() => {
      for (const [i, variable] of variables.entries())
        variable.assign(tf.tensor(arrays[i] as Float32Array, variable.shape))
    })
  }
}

/** Of `torch.nn.utils.clip_grad_norm_`. */
const clippingEpsilon = 1e-6

type Triple<T> = [T, T, T]

/** A parameter and its two moments. */
const variablesOf = (name: string, parameters: LoraParameters, { first, second }: OptimizerState) =>
  [parameters, first, second].map((variables) => variables.get(name)) as Triple<tf.Variable>

/** The numbers of an update that are the same for all parameters. */
type Update = { clipping: number; stepSize: number; secondScale: number; decay: number }

/** @param arrays a parameter and its two moments. */
function updateValues(
  { clipping, stepSize, secondScale, decay }: Update,
  gradient: Float32Array,
  [values, first, second]: Triple<Float32Array>,
) {
  const [beta1, beta2] = betas
  for (let i = 0; i < values.length; i++) {
    const clipped = (gradient[i] as number) * clipping
    first[i] = beta1 * (first[i] as number) + (1 - beta1) * clipped
    second[i] = beta2 * (second[i] as number) + (1 - beta2) * clipped * clipped
    const change = (first[i] as number) / (Math.sqrt(second[i] as number) * secondScale + epsilon)
    values[i] = (values[i] as number) * decay - change * stepSize
  }
}

/** The global norm in a graph. TensorFlow's kernel L2Loss computes half the sum of squares. */
export const globalNormInGraph = (gradients: ReadonlyMap<string, tf.Tensor>): tf.Scalar => {
  const halves = [...gradients.values()].map((gradient) => runOp('L2Loss', [gradient], [typeAttribute('T', 'float32')]))
  return tf.sqrt(tf.mul(2, tf.addN(halves))) as tf.Scalar
}

/** The numbers of an update that change from step to step: inputs of a captured step. */
export type UpdateScalars = { learningRate: tf.Scalar; beta1Power: tf.Scalar; beta2Power: tf.Scalar }

export const updateScalars = ({ updates }: OptimizerState, learningRate: number): UpdateScalars => ({
  learningRate: tf.scalar(learningRate),
  beta1Power: tf.scalar(betas[0] ** (updates + 1)),
  beta2Power: tf.scalar(betas[1] ** (updates + 1)),
})

/**
 * The same update in a graph, with TensorFlow's kernel ResourceApplyAdam: one pass over memory. Where the loss or the norm is not finite, it changes
 * nothing. It does not count the update: the caller does, once it has read the norm.
 */
export function adamWInGraph(
  parameters: LoraParameters,
  state: OptimizerState,
  gradients: ReadonlyMap<string, tf.Tensor>,
  { loss, norm, maxNorm, ...scalars }: UpdateScalars & { loss: tf.Scalar; norm: tf.Scalar; maxNorm: tf.Scalar },
) {
  const { beta1Power, beta2Power } = scalars
  const finite = tf.isFinite(tf.add(loss, norm))
  const orElse = (x: tf.Tensor, otherwise: number) => tf.where(finite, x, tf.scalar(otherwise))
  const learningRate = orElse(scalars.learningRate, 0)
  const [beta1, beta2] = betas.map((beta) => orElse(tf.scalar(beta), 1)) as [tf.Tensor, tf.Tensor]
  const clipping = orElse(tf.minimum(1, tf.div(maxNorm, tf.add(norm, clippingEpsilon))), 0)
  // the kernel adds epsilon before the bias correction of the second moment
  const epsilonHat = tf.mul(tf.sqrt(tf.sub(1, beta2Power)), epsilon)
  const decay = tf.mul(learningRate, weightDecay)
  const scaling = { learningRate, beta1, beta2, beta1Power, beta2Power, epsilonHat, decay, clipping }
  for (const names of namesByBlock(parameters)) {
    const trained = names.map((name) => ({
      gradient: gradients.get(name) as tf.Tensor,
      variables: variablesOf(name, parameters, state),
    }))
    const given = { scaling, gradients: trained.map(({ gradient }) => gradient) }
    graphFunction('update', { inputs: given, variables: trained.flatMap(({ variables }) => variables) }, () => {
      for (const { gradient, variables } of trained) updateInGraph(gradient, variables, scaling)
      return []
    })
  }
}

type Scaling = Record<
  'learningRate' | 'beta1' | 'beta2' | 'beta1Power' | 'beta2Power' | 'epsilonHat' | 'decay' | 'clipping',
  tf.Tensor
>

/** @param variables the parameter and its two moments. */
function updateInGraph(gradient: tf.Tensor, variables: readonly tf.Variable[], scaling: Scaling) {
  const [parameter] = variables as [tf.Variable]
  const { learningRate, beta1, beta2, beta1Power, beta2Power, epsilonHat, decay, clipping } = scaling
  const [type, dtype] = [typeAttribute('T', 'float32'), typeAttribute('dtype', 'float32')]
  const clipped = runOp('MulNoNan', [gradient, clipping], [type]) // 0 where clipping is 0, even if the gradient is NaN
  const decayed = updateInPlace('AssignSubVariableOp', [parameter], [tf.mul(parameter, decay)], [dtype])
  const rest = [beta1Power, beta2Power, learningRate, beta1, beta2, epsilonHat, clipped]
  updateInPlace('ResourceApplyAdam', variables, rest, [type], [decayed])
}

/**
 * Adds the gradients of an example to the accumulators, in a graph. The accumulators have the names of the parameters.
 * @param kept the factor of what the accumulators held before: 1, or 0 for the first example of a step, which ignores even NaN.
 */
export function accumulateInGraph(
  accumulators: ReadonlyMap<string, tf.Variable>,
  gradients: ReadonlyMap<string, tf.Tensor>,
  kept: tf.Scalar,
) {
  const [type, dtype] = [typeAttribute('T', 'float32'), typeAttribute('dtype', 'float32')]
  for (const names of namesByBlock(accumulators)) {
    const variables = names.map((name) => accumulators.get(name) as tf.Variable)
    const added = names.map((name) => gradients.get(name) as tf.Tensor)
    graphFunction('accumulate', { inputs: { kept, added }, variables }, () => {
      for (const [i, variable] of variables.entries()) {
        const sum = tf.add(runOp('MulNoNan', [variable, kept], [type]), added[i] as tf.Tensor)
        updateInPlace('AssignVariableOp', [variable], [sum], [dtype])
      }
      return []
    })
  }
}

/** The names of the parameters by block: the same for every block, so that what is done with a block is one function of the graph. */
export function namesByBlock(parameters: ReadonlyMap<string, tf.Variable>): string[][] {
  const groups = new Map<string, string[]>()
  for (const name of parameters.keys()) {
    const block = /^.*?\.\d+\./.exec(name)?.[0] ?? ''
    groups.set(block, [...(groups.get(block) ?? []), name])
  }
  return [...groups.values()]
}

export type LearningRateSchedule = 'linear' | 'constant' | 'cosine'

/** The factor of the learning rate at `step` (0-based) of `steps`: linear decays from 1 to 0.1, cosine from 1 to 0. */
export function learningRateFactor(schedule: LearningRateSchedule, step: number, steps: number): number {
  const progress = Math.min(step / steps, 1)
  switch (schedule) {
    case 'constant':
      return 1
    case 'cosine':
      return (1 + Math.cos(Math.PI * progress)) / 2
    case 'linear':
      return 1 - 0.9 * progress
  }
}
